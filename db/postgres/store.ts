/** The store on PostgreSQL: every statement that the server runs there. Any number of servers may share one database. */
import { type SQL, sql } from 'drizzle-orm'
import pLimit from 'p-limit'
import { Refusal } from '../../errors.ts'
import { upgrade } from '../migrate.ts'
import { createReceipts, KEPT_RECEIPTS } from '../receipts.ts'
import { type Lack, noRoom, roomOf, SHORT_MILLISECONDS, SMALL_BYTES, tooManyWait } from '../room.ts'
import { type NewText, type Receipt, randomCode, type Store, type StoreOptions } from '../store.ts'
import { array, batched, connect, connectionError, migratable, SWEEP_LOCK } from './connection.ts'
import { sharedCounters } from './counters.ts'
import { recount } from './recount.ts'
import {
  addReceipts,
  countWriters,
  fromJson,
  jsonColumns,
  readText,
  receiptsJson,
  type TextRow,
  textColumns,
  textValues,
  toJson,
} from './rows.ts'
import { code, receipt, stored, text, writer } from './schema.ts'

/** Texts that one statement of the sweep deletes: some milliseconds' work. */
const SWEPT_AT_ONCE = 500

/** Receipts that one statement writes or deletes. */
const RECEIPTS_AT_ONCE = 5000

/** The most bytes of a text that shares its statement with others. */
const LARGE_BYTES = 65_536

/** More than all connections write while one statement runs: with less room than this left, they count one after the other. */
const IN_FLIGHT = { texts: 10_000, bytes: 64 * 1024 * 1024 }

/** Milliseconds between two times that the sums are compared with what is there: some 150 ms of work for 100,000 texts, that nobody waits for. */
const RECOUNT = 60 * 60 * 1000

interface Written {
  /** Null also where others took the room or the code meanwhile. */
  code: string | null
  /** What there was too little of, had it come alone. */
  lack: Lack | null
  hasNoCode: boolean
  /** How many there were before, and their bytes. */
  texts: number
  bytes: number
}

const now = sql.placeholder('now')
const tokenHash = sql`${sql.placeholder('tokenHash')}::bytea`

/** The part that a connection counts in: connections that write at once have different ones, nearly always. */
const PART = sql`pg_backend_pid() % 64`

/**
 * Of the rows `gone` that a statement has deleted: their codes to the pool, and what they took off the sums. Whatever
 * counts locks its part first and then writers, so that no two statements wait for each other.
 */
const giveBack = sql`
  returned AS (INSERT INTO ${code} (code, rests_until) SELECT code, ${sql.placeholder('restsUntil')}::bigint FROM gone),
  freed AS (UPDATE ${stored} SET texts = texts - gone_texts, bytes = bytes - gone_bytes
    FROM (SELECT count(*) AS gone_texts, sum(size) AS gone_bytes FROM gone HAVING count(*) > 0) AS freed
    WHERE part = ${PART} RETURNING part),
  shares AS (${countWriters(sql`-sum(size)`, sql`gone CROSS JOIN freed`)})
  SELECT count(*)::int AS n FROM gone`

const returned = sql`RETURNING ${text.code} AS code, ${text.writer} AS writer, octet_length(${text.body}) AS size`

/** @throws an Error of one line where the database cannot be had, or a newer release has made it */
export async function openPostgresStore(url: string, options: StoreOptions): Promise<Store> {
  const { codeRestSeconds, say = () => {} } = options
  const room = roomOf(options)
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
  /** As `lackOf` says it. */
  const lack = (texts: SQL, bytes: SQL) => sql`CASE
    WHEN ${texts} > ${room.texts}::bigint THEN 'texts'
    WHEN ${bytes} > ${room.bytes}::bigint THEN 'bytes'
    WHEN ${bytes} > ${room.bytesOfAnyText}::bigint
      AND (size > ${SMALL_BYTES}::int OR "expiresAt" - "createdAt" > ${SHORT_MILLISECONDS}::bigint) THEN 'reserve' END`
  const sums = sql`sum(texts) AS texts, sum(bytes) AS bytes`
  const writeAll = postgres.prepare<Written>(sql`
    WITH asked AS MATERIALIZED (
      SELECT text.*, sum(size) OVER (ORDER BY n)::int AS "end", coalesce(
        ${lack(sql`seen.texts + 1`, sql`seen.bytes + size`)},
        CASE WHEN text.writer IS NOT NULL AND coalesce(writer.bytes, 0) + size > ${room.bytesOfWriter}::bigint
          THEN 'share' END) AS lack
      FROM json_to_recordset(${sql.placeholder('texts')}::text::json) AS text(n int, size int, "from" text, ${jsonColumns})
      CROSS JOIN (SELECT ${sums} FROM ${stored}) AS seen LEFT JOIN ${writer} ON number = text.writer
    ), held AS MATERIALIZED (
      -- Those that are locked are read as they are by then, not as they were when the statement began.
      SELECT * FROM ${stored} WHERE EXISTS (SELECT FROM asked WHERE lack IS NULL) AND (part = ${PART} OR (
        SELECT sum(texts) + ${IN_FLIGHT.texts}::bigint > ${room.texts}::bigint
          OR sum(bytes) + ${IN_FLIGHT.bytes}::bigint > ${room.bytes}::bigint FROM ${stored})) ORDER BY part FOR UPDATE
    ), there AS MATERIALIZED (
      SELECT ${sums} FROM (SELECT texts, bytes FROM held UNION ALL
        SELECT texts, bytes FROM ${stored} WHERE part NOT IN (SELECT part FROM held)) AS parts
    ), drawn AS MATERIALIZED (
      -- Where every code rests, the pool is read once, not once for each text.
      SELECT asked.*, CASE WHEN EXISTS (SELECT FROM ${code} WHERE ${rested(sql`(SELECT max("createdAt") FROM asked)`)}) THEN
        coalesce(${draw(sql`code >= asked.from COLLATE "C"`)}, ${draw(sql`code < asked.from COLLATE "C"`)}) END AS code
      FROM asked CROSS JOIN there WHERE lack IS NULL AND ${lack(sql`texts + n + 1`, sql`bytes + "end"`)} IS NULL
    ), lent AS MATERIALIZED (
      -- A code that several texts have drawn goes to the first of them.
      SELECT DISTINCT ON (code) * FROM drawn WHERE code IS NOT NULL ORDER BY code, n
    ), shares AS (
      ${countWriters(sql`sum(size)`, sql`lent`, sql`${room.bytesOfWriter}::bigint`)}
    ), kept AS MATERIALIZED (
      SELECT lent.* FROM lent LEFT JOIN shares ON number = writer WHERE writer IS NULL OR number IS NOT NULL
    ), taken AS (
      DELETE FROM ${code} WHERE code = ANY (ARRAY(SELECT code FROM kept))
    ), counted AS (
      UPDATE ${stored} SET texts = texts + kept_texts, bytes = bytes + kept_bytes
      FROM (SELECT count(*) AS kept_texts, sum(size) AS kept_bytes FROM kept HAVING count(*) > 0) AS kept
      WHERE part = ${PART}
    ), added AS (
      INSERT INTO ${text} (${textColumns}) SELECT ${textValues((column) =>
        column === 'body'
          ? sql`substring(${sql.placeholder('bodies')}::bytea FROM "end" - size + 1 FOR size)`
          : sql`${sql.identifier(column)}`,
      )} FROM kept
    ) SELECT kept.code, asked.lack, drawn.n IS NOT NULL AND drawn.code IS NULL AS "hasNoCode",
        texts::float8 AS texts, bytes::float8 AS bytes
      FROM asked CROSS JOIN there LEFT JOIN drawn USING (n) LEFT JOIN kept USING (n) ORDER BY n`)
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
      AND (erase_token_hash = ${tokenHash} OR receive_token_hash = ${tokenHash}) AND expires_at > ${now}::bigint
      ${returned}, erase_token_hash, expires_at),
    receipts AS (${addReceipts(sql`SELECT erase_token_hash, ${sql.placeholder('loads')}::bigint,
      ${sql.placeholder('lastLoadedAt')}::bigint, expires_at FROM gone WHERE size > 0`)}),
    ${giveBack}`)

  const lackToFill = postgres.prepare<{ lack: Lack | null }>(sql`
    SELECT coalesce(${lack(sql`0`, sql`seen.bytes + size`)},
      CASE WHEN writer.bytes + size > ${room.bytesOfWriter}::bigint THEN 'share' END) AS lack
    FROM (SELECT ${sql.placeholder('size')}::int AS size, 0::bigint AS "createdAt", 0::bigint AS "expiresAt") AS asked
    CROSS JOIN (SELECT ${sums} FROM ${stored}) AS seen LEFT JOIN ${writer} ON number = ${sql.placeholder('writer')}::int`)
  const fillIn = postgres.prepare<{ n: number }>(sql`
    WITH filled AS (UPDATE ${text} SET body = ${sql.placeholder('body')}::bytea, seal = ${sql.placeholder('seal')}::text,
        erase_token_hash = ${sql.placeholder('eraseTokenHash')}::bytea, writer = ${sql.placeholder('writer')}::int
      WHERE code = ${sql.placeholder('code')} AND receive_token_hash IS NOT NULL AND octet_length(body) = 0
        AND expires_at > ${now}::bigint RETURNING writer, octet_length(body) AS size),
    counted AS (UPDATE ${stored} SET bytes = bytes + size FROM filled WHERE part = ${PART} RETURNING part),
    shares AS (${countWriters(sql`sum(size)`, sql`filled CROSS JOIN counted`)})
    SELECT count(*)::int AS n FROM filled`)

  const countReceiving = postgres.prepare<{ n: number }>(
    sql`SELECT count(*)::float8 AS n FROM ${text} WHERE receive_token_hash IS NOT NULL`,
  )
  const settled = postgres.prepare<{ code: string }>(sql`
    SELECT asked.code FROM unnest(${array('codes')}) AS asked (code)
    WHERE NOT EXISTS (SELECT FROM ${text} WHERE text.code = asked.code COLLATE "C" AND octet_length(body) = 0)`)

  const addCounted = postgres.prepare(addReceipts(fromJson(sql`${sql.placeholder('counted')}`)))
  const findReceipt = postgres.prepare<Receipt>(sql`
    SELECT erase_token_hash AS "eraseTokenHash", loads::float8 AS loads, last_loaded_at::float8 AS "lastLoadedAt",
      expires_at::float8 AS "expiresAt" FROM ${receipt}
    WHERE erase_token_hash = ${sql.placeholder('eraseTokenHash')}::bytea AND expires_at > ${now}::bigint`)
  // Those that are over, and beyond `KEPT_RECEIPTS` those that end next.
  const sweepReceipts = postgres.prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${receipt} WHERE erase_token_hash = ANY (ARRAY(
      SELECT erase_token_hash FROM ${receipt} WHERE expires_at <= greatest(${now}::bigint, (
        SELECT expires_at FROM ${receipt} ORDER BY expires_at DESC OFFSET ${sql.raw(`${KEPT_RECEIPTS}`)} LIMIT 1))
      ORDER BY expires_at LIMIT ${sql.raw(`${RECEIPTS_AT_ONCE}`)} FOR UPDATE SKIP LOCKED))
      RETURNING expires_at) SELECT count(*)::int AS n FROM gone`)

  // What others hold is left to them.
  const sweepSome = postgres.prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${text} WHERE code = ANY (ARRAY(
      SELECT code FROM ${text} WHERE expires_at <= ${now}::bigint AND (SELECT pg_try_advisory_xact_lock(${sql.raw(`${SWEEP_LOCK}`)}))
      ORDER BY expires_at LIMIT ${sql.raw(`${SWEPT_AT_ONCE}`)} FOR UPDATE SKIP LOCKED)) ${returned}), ${giveBack}`)

  const check = postgres.prepare(sql`SELECT 1 FROM (SELECT FROM ${code} LIMIT 1) AS any_code`)

  const sumUp = postgres.prepare<{ texts: number; bytes: number }>(
    sql`SELECT sum(texts)::float8 AS texts, sum(bytes)::float8 AS bytes FROM ${stored}`,
  )
  const countResting = postgres.prepare<{ n: number }>(
    sql`SELECT count(*)::float8 AS n FROM ${code} WHERE rests_until > ${now}::bigint`,
  )

  const counters = sharedCounters(postgres)
  const oneByOne = pLimit(1)
  const receipts = createReceipts(
    async (counted) => {
      for (let at = 0; at < counted.length; at += RECEIPTS_AT_ONCE) {
        await addCounted({ counted: receiptsJson(counted.slice(at, at + RECEIPTS_AT_ONCE)) })
      }
    },
    async (eraseTokenHash, now) => (await findReceipt({ eraseTokenHash, now }))[0],
  )

  /** While no code can be lent: from when on there may be one again. */
  let noCodesUntil = 0

  let recountedAt = 0
  let known = { texts: 0, bytes: 0 }

  /** Asks how many texts there are, and their bytes. */
  async function learn() {
    const [sums] = await sumUp({})
    known = sums ?? known
    return known
  }

  const restsUntil = (now: number) => now + codeRestSeconds * 1000

  async function writeText(added: NewText, now: number): Promise<string> {
    const body = Buffer.from(added.body)
    // Only this machine's knowledge: another may have returned a code. So it looks again after a second.
    if (now < noCodesUntil) throw noCodes(noCodesUntil, now)
    const asked = { added, body, now }
    let isAlone = body.byteLength > LARGE_BYTES
    for (;;) {
      const written = isAlone ? (await writeSome([asked]))[0] : await write(asked)
      if (!written) throw new Error('PostgreSQL has not answered for each text')
      known = { texts: written.texts, bytes: written.bytes }
      if (written.code !== null) return written.code
      if (written.lack) throw noRoom(written.lack)
      if (written.hasNoCode) break
      // Its neighbours took the room, or the code; or another statement did, as the next one then sees.
      isAlone = true
    }
    const next = (await nextCode({}))[0]?.at ?? 0
    noCodesUntil = now + 1000
    throw noCodes(Math.max(next, noCodesUntil), now)
  }

  /** Writes an empty text that is waited for. One after the other, or those that come at once would be counted too late. */
  async function lend(added: NewText, now: number): Promise<string> {
    const [receiving] = await countReceiving({})
    if ((receiving?.n ?? 0) >= room.receiving) throw tooManyWait()
    return writeText(added, now)
  }

  return {
    write: (added, now) => (added.receiveTokenHash === null ? writeText(added, now) : oneByOne(() => lend(added, now))),

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

    async fill(code, { body, seal, eraseTokenHash, writer }, now) {
      const bytes = Buffer.from(body)
      const [asked] = await lackToFill({ size: bytes.byteLength, writer })
      if (asked?.lack) throw noRoom(asked.lack)
      const [filled] = await fillIn({ code, body: bytes, seal, eraseTokenHash, writer, now })
      return filled?.n === 1
    },

    async erase(code, tokenHash, now, loads = 0) {
      const lastLoadedAt = loads > 0 ? now : null
      const [erased] = await erase({ code, tokenHash, now, loads, lastLoadedAt, restsUntil: restsUntil(now) })
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
      if (Math.abs(now - recountedAt) >= RECOUNT) {
        await recount(postgres)
        recountedAt = now
      }
      while ((await sweepReceipts({ now }))[0]?.n) {}
      await learn()
      await counters.sweep(now)
      noCodesUntil = 0
      return swept
    },

    check: async () => void (await check({})),
    async stats(now) {
      const [resting] = await countResting({ now })
      const [receiving] = await countReceiving({})
      return { ...(await learn()), receiving: receiving?.n ?? 0, resting: resting?.n ?? 0 }
    },
    known: () => known,
    counters,
    countLoad: receipts.countLoad,
    receipt: receipts.receipt,
    settled: async (codes) => (await settled({ codes: JSON.stringify(codes) })).map(({ code }) => code),
    async close() {
      await receipts.store().catch(() => {})
      await postgres.close()
    },
  }
}

const noCodes = (until: number, now: number) =>
  new Refusal('no_codes_left', { retryAfter: Math.max(1, Math.ceil((until - now) / 1000)) })
