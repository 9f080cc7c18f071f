/** The store on PostgreSQL: every statement that the server runs there. Any number of servers may share one database. */
import { type SQL, sql } from 'drizzle-orm'
import { Refusal } from '../../errors.ts'
import { upgrade } from '../migrate.ts'
import { type NewText, randomCode, type Store, type StoreOptions } from '../store.ts'
import { array, batched, connect, connectionError, migratable, SWEEP_LOCK } from './connection.ts'
import { sharedCounters } from './counters.ts'
import { jsonColumns, readText, type TextRow, textColumns, textValues, toJson } from './rows.ts'
import { code, stored, text } from './schema.ts'

/** Texts that one statement of the sweep deletes: some milliseconds' work. */
const SWEPT_AT_ONCE = 500

/** The most bytes of a text that shares its statement with others. */
const LARGE_BYTES = 65_536

interface Written {
  hasRoom: boolean
  /** Whether a code was found for it, be it one that another text of the statement has. */
  isFree: boolean
  code: string | null
}

const now = sql.placeholder('now')

/** The part that a connection counts in: connections that write at once have different ones, nearly always. */
const PART = sql`pg_backend_pid() % 64`

/** Of the rows `gone` that a statement has deleted: their codes to the pool, and their bytes off the sum. */
const giveBack = sql`
  returned AS (INSERT INTO ${code} (code, rests_until) SELECT code, ${sql.placeholder('restsUntil')}::bigint FROM gone),
  freed AS (UPDATE ${stored} SET bytes = bytes - gone_bytes
    FROM (SELECT sum(gone_bytes) AS gone_bytes FROM gone HAVING count(*) > 0) AS freed WHERE part = ${PART})
  SELECT count(*)::int AS n FROM gone`

const returned = sql`RETURNING ${text.code} AS code, octet_length(${text.body}) AS gone_bytes`

/** @throws an Error of one line where the database cannot be had, or a newer release has made it */
export async function openPostgresStore(url: string, options: StoreOptions): Promise<Store> {
  const { codeRestSeconds, maxStoredBytes, say = () => {} } = options
  const postgres = connect(url, options)
  try {
    await upgrade(migratable(postgres.client), say)
  } catch (error) {
    await postgres.close()
    throw connectionError(url, error)
  }

  const smallBody = sql`CASE WHEN octet_length(${text.body}) <= ${sql.placeholder('largest')}::int THEN ${text.body} END`
  const findAll = postgres.prepare<Omit<TextRow, 'body'> & { body: Buffer | null }>(
    sql`SELECT ${readText(smallBody)} FROM ${text} WHERE ${text.code} = ANY (${array('codes')})`,
  )
  /** Without the body, where that is large. */
  const find = batched(async (codes: readonly string[]) => {
    const rows = await findAll({ codes: JSON.stringify(codes), largest: LARGE_BYTES })
    const found = new Map(rows.map((row) => [row.code, row]))
    return codes.map((code) => found.get(code))
  })

  // Codes that others are about to take are passed over. The random draw begins anew at the end of the pool.
  const rested = (at: SQL) => sql`(${code.restsUntil} IS NULL OR ${code.restsUntil} <= ${at})`
  const draw = (where: SQL) =>
    sql`(SELECT code FROM ${code} WHERE ${where} AND ${rested(sql`asked."createdAt"`)} ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED)`
  const writeAll = postgres.prepare<Written>(sql`
    WITH asked AS MATERIALIZED (
      SELECT *, sum(size) OVER (ORDER BY n)::int AS "end" FROM json_to_recordset(${sql.placeholder('texts')}::text::json) AS text(
        n int, size int, "from" text, ${jsonColumns})
    ), drawn AS MATERIALIZED (
      -- Where every code rests, the pool is read once, not once for each text.
      SELECT asked.*, CASE WHEN EXISTS (SELECT FROM ${code} WHERE ${rested(sql`(SELECT max("createdAt") FROM asked)`)}) THEN
        coalesce(${draw(sql`code >= asked.from COLLATE "C"`)}, ${draw(sql`code < asked.from COLLATE "C"`)}) END AS code
      FROM asked WHERE "end" <= (SELECT ${maxStoredBytes}::bigint - sum(bytes) FROM ${stored})
    ), lent AS MATERIALIZED (
      -- A code that several texts have drawn goes to the first of them.
      SELECT DISTINCT ON (code) * FROM drawn WHERE code IS NOT NULL ORDER BY code, n
    ), taken AS (
      DELETE FROM ${code} WHERE code = ANY (ARRAY(SELECT code FROM lent))
    ), counted AS (
      UPDATE ${stored} SET bytes = bytes + lent_bytes
      FROM (SELECT sum(size) AS lent_bytes FROM lent HAVING count(*) > 0) AS lent WHERE part = ${PART}
    ), added AS (
      INSERT INTO ${text} (${textColumns}) SELECT ${textValues((column) =>
        column === 'body'
          ? sql`substring(${sql.placeholder('bodies')}::bytea FROM "end" - size + 1 FOR size)`
          : sql`${sql.identifier(column)}`,
      )} FROM lent
    ) SELECT drawn.n IS NOT NULL AS "hasRoom", drawn.code IS NOT NULL AS "isFree", lent.code
      FROM asked LEFT JOIN drawn USING (n) LEFT JOIN lent USING (n) ORDER BY n`)
  const writeSome = (texts: readonly { added: NewText; body: Buffer; now: number }[]) =>
    writeAll({
      bodies: Buffer.concat(texts.map(({ body }) => body)),
      texts: JSON.stringify(
        texts.map(({ added, body, now }, n) => ({
          ...{ n, size: body.byteLength, from: randomCode() },
          ...toJson({ ...added, createdAt: now }),
        })),
      ),
    })
  const write = batched(writeSome)

  const nextCode = postgres.prepare<{ at: number | null }>(sql`
    SELECT least((SELECT min(rests_until) FROM ${code} WHERE rests_until IS NOT NULL),
      (SELECT min(expires_at) FROM ${text}) + ${codeRestSeconds * 1000}::bigint)::float8 AS at`)

  const returnExpired = postgres.prepare(sql`
    WITH gone AS (DELETE FROM ${text} WHERE code = ${sql.placeholder('code')}
      AND expires_at <= ${now}::bigint ${returned}), ${giveBack}`)

  const erase = postgres.prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${text} WHERE code = ${sql.placeholder('code')}
      AND erase_token_hash = ${sql.placeholder('eraseTokenHash')}::bytea AND expires_at > ${now}::bigint ${returned}), ${giveBack}`)

  // What others hold is left to them.
  const sweepSome = postgres.prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${text} WHERE code = ANY (ARRAY(
      SELECT code FROM ${text} WHERE expires_at <= ${now}::bigint AND (SELECT pg_try_advisory_xact_lock(${sql.raw(`${SWEEP_LOCK}`)}))
      ORDER BY expires_at LIMIT ${sql.raw(`${SWEPT_AT_ONCE}`)} FOR UPDATE SKIP LOCKED)) ${returned}), ${giveBack}`)

  const check = postgres.prepare(sql`SELECT 1 FROM (SELECT FROM ${code} LIMIT 1) AS any_code`)

  const stats = postgres.prepare<{ texts: number; bytes: number; resting: number }>(sql`
    SELECT (SELECT count(*) FROM ${text})::float8 AS texts, (SELECT sum(bytes) FROM ${stored})::float8 AS bytes,
      (SELECT count(*) FROM ${code} WHERE rests_until > ${now}::bigint)::float8 AS resting`)

  const counters = sharedCounters(postgres)

  /** While no code can be lent: from when on there may be one again. */
  let noCodesUntil = 0

  const restsUntil = (now: number) => now + codeRestSeconds * 1000

  return {
    async write(added, now) {
      const body = Buffer.from(added.body)
      // Only this machine's knowledge: another may have returned a code. So it looks again after a second.
      if (now < noCodesUntil) throw noCodes(noCodesUntil, now)
      const asked = { added, body, now }
      let isAlone = body.byteLength > LARGE_BYTES
      for (;;) {
        const written = isAlone ? (await writeSome([asked]))[0] : await write(asked)
        if (written?.code) return written.code
        if (written?.hasRoom && !written.isFree) break
        if (!written?.hasRoom && isAlone) throw new Refusal('storage_full')
        isAlone = true // Its neighbours took the room, or the code.
      }
      const next = (await nextCode({}))[0]?.at ?? 0
      noCodesUntil = now + 1000
      throw noCodes(Math.max(next, noCodesUntil), now)
    },

    async load(code, now) {
      let found = await find(code)
      if (found?.body === null) [found] = await findAll({ codes: JSON.stringify([code]), largest: 2 ** 31 - 1 })
      if (!found?.body) return
      if (found.expiresAt > now) return { ...found, body: found.body.toString() }
      // Gone it is in any case: where the code cannot be returned now, the sweep comes by later.
      await returnExpired({ code, now, restsUntil: restsUntil(now) }).catch((error) => {
        if (!(error instanceof Refusal)) throw error
      })
    },

    async erase(code, eraseTokenHash, now) {
      const [erased] = await erase({ code, eraseTokenHash, now, restsUntil: restsUntil(now) })
      if (!erased?.n) return false
      noCodesUntil = 0
      return true
    },

    async sweep(now) {
      let swept = 0
      for (;;) {
        const [turn] = await sweepSome({ now, restsUntil: restsUntil(now) })
        if (!turn?.n) break
        swept += turn.n
      }
      await counters.sweep(now)
      noCodesUntil = 0
      return swept
    },

    check: async () => void (await check({})),
    async stats(now) {
      const [counted] = await stats({ now })
      return counted ?? { texts: 0, bytes: 0, resting: 0 }
    },
    counters,
    close: postgres.close,
  }
}

const noCodes = (until: number, now: number) =>
  new Refusal('no_codes_left', { retryAfter: Math.max(1, Math.ceil((until - now) / 1000)) })
