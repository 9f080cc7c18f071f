/** The store on PostgreSQL: every statement that the server runs there. Any number of servers may share one database. */
import { eq, sql } from 'drizzle-orm'
import { Refusal } from '../errors.ts'
import { type Count, type Counters, createCounters, type LimitEvent } from '../guard.ts'
import { upgrade } from './migrate.ts'
import { connect, connectionError, migratable, type Postgres, SWEEP_LOCK } from './postgres.ts'
import { code, counter, stored, text } from './postgres-schema.ts'
import { type LentText, randomCode, type Store, type StoreOptions } from './store.ts'

/** Texts that one statement of the sweep deletes: some milliseconds' work. */
const SWEPT_AT_ONCE = 500

/** Counters that are kept, those that end last: what bounds their table to some 200 MB. */
const KEPT_COUNTERS = 1_000_000

type TextRow = Omit<LentText, 'body'> & { body: Buffer }

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

  const find = postgres.prepare<TextRow>(
    sql`SELECT ${text.code} AS "code", ${text.body} AS "body", ${text.passwordHash} AS "passwordHash",
      ${text.once} AS "once", ${text.eraseTokenHash} AS "eraseTokenHash", ${text.createdAt}::float8 AS "createdAt",
      ${text.expiresAt}::float8 AS "expiresAt" FROM ${text} WHERE ${eq(text.code, sql.placeholder('code'))}`,
  )

  // Codes that others are about to take are passed over. The random draw begins anew at the end of the pool.
  const from = sql`${sql.placeholder('from')}::text COLLATE "C"`
  const rested = sql`(${code.restsUntil} IS NULL OR ${code.restsUntil} <= ${now}::bigint)`
  const write = postgres.prepare<{ hasRoom: boolean; code: string | null }>(sql`
    WITH room AS MATERIALIZED (
      SELECT sum(bytes) + ${sql.placeholder('bytes')}::bigint <= ${maxStoredBytes}::bigint AS "hasRoom" FROM ${stored}
    ), drawn AS (
      DELETE FROM ${code} WHERE (SELECT "hasRoom" FROM room) AND ${code.code} = coalesce(
        (SELECT code FROM ${code} WHERE code >= ${from} AND ${rested} ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED),
        (SELECT code FROM ${code} WHERE code < ${from} AND ${rested} ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED)
      ) RETURNING code
    ), counted AS (
      UPDATE ${stored} SET bytes = bytes + ${sql.placeholder('bytes')}::bigint WHERE part = ${PART} AND EXISTS (SELECT FROM drawn)
    ), added AS (
      INSERT INTO ${text} (code, body, password_hash, once, erase_token_hash, created_at, expires_at)
      SELECT code, ${sql.placeholder('body')}::bytea, ${sql.placeholder('passwordHash')}::text,
        ${sql.placeholder('once')}::boolean, ${sql.placeholder('eraseTokenHash')}::bytea, ${now}::bigint,
        ${sql.placeholder('expiresAt')}::bigint FROM drawn RETURNING code
    ) SELECT "hasRoom", (SELECT code FROM added) AS code FROM room`)

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

  const sweepCounters = postgres.prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${counter} WHERE key = ANY (ARRAY(
      (SELECT key FROM ${counter} WHERE ends_at <= ${now}::bigint LIMIT ${sql.raw(`${SWEPT_AT_ONCE}`)} FOR UPDATE SKIP LOCKED)))
      RETURNING key) SELECT count(*)::int AS n FROM gone`)

  const dropCounters = postgres.prepare<{ n: number }>(sql`
    DELETE FROM ${counter} WHERE ends_at < (SELECT ends_at FROM ${counter} ORDER BY ends_at DESC
      OFFSET ${sql.raw(`${KEPT_COUNTERS}`)} LIMIT 1)`)

  const check = postgres.prepare(sql`SELECT 1 FROM (SELECT FROM ${code} LIMIT 1) AS any_code`)

  const stats = postgres.prepare<{ texts: number; bytes: number; resting: number }>(sql`
    SELECT (SELECT count(*) FROM ${text})::float8 AS texts, (SELECT sum(bytes) FROM ${stored})::float8 AS bytes,
      (SELECT count(*) FROM ${code} WHERE rests_until > ${now}::bigint)::float8 AS resting`)

  /** While no code can be lent: from when on there may be one again. */
  let noCodesUntil = 0

  const restsUntil = (now: number) => now + codeRestSeconds * 1000

  return {
    async write(added, now) {
      const body = Buffer.from(added.body)
      // Only this machine's knowledge: another may have returned a code. So it looks again after a second.
      if (now < noCodesUntil) throw noCodes(noCodesUntil, now)
      const [written] = await write({ ...added, body, bytes: body.byteLength, from: randomCode(), now })
      if (!written?.hasRoom) throw new Refusal('storage_full')
      if (written.code !== null) return written.code
      const next = (await nextCode({}))[0]?.at ?? 0
      noCodesUntil = now + 1000
      throw noCodes(Math.max(next, noCodesUntil), now)
    },

    async load(code, now) {
      const [found] = await find({ code })
      if (!found) return
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
      while ((await sweepCounters({ now }))[0]?.n) {}
      await dropCounters({})
      noCodesUntil = 0
      return swept
    },

    check: async () => void (await check({})),
    async stats(now) {
      const [counted] = await stats({ now })
      return counted ?? { texts: 0, bytes: 0, resting: 0 }
    },
    counters: sharedCounters(postgres),
    close: postgres.close,
  }
}

const noCodes = (until: number, now: number) =>
  new Refusal('no_codes_left', { retryAfter: Math.max(1, Math.ceil((until - now) / 1000)) })

/**
 * The counts that all machines share. Our own statement and not rate-limiter-flexible, which goes by its own clock.
 * Where the database cannot be had, every call is refused as `busy`, and with it whatever asked: guessing is never free.
 */
function sharedCounters({ prepare }: Pick<Postgres, 'prepare'>): Counters {
  const key = sql.placeholder('key')
  const amount = sql`${sql.placeholder('amount')}::bigint`
  const max = sql`${sql.placeholder('max')}::bigint`
  const lockEndsAt = sql`${sql.placeholder('lockEndsAt')}::bigint`
  const count = sql`RETURNING counter.count::float8 AS "count", ends_at::float8 AS "endsAt"`

  const read = prepare<Count>(sql`SELECT count::float8 AS "count", ends_at::float8 AS "endsAt" FROM ${counter}
    WHERE key = ${key} AND ends_at > ${now}::bigint`)
  const add = prepare<Count>(sql`
    INSERT INTO ${counter} AS counter (key, count, ends_at)
    VALUES (${key}, ${amount}, coalesce(CASE WHEN ${amount} >= ${max} THEN ${lockEndsAt} END, ${sql.placeholder('windowEndsAt')}::bigint))
    ON CONFLICT (key) DO UPDATE SET
      count = CASE WHEN counter.ends_at > ${now}::bigint THEN counter.count ELSE 0 END + excluded.count,
      ends_at = CASE WHEN counter.ends_at <= ${now}::bigint THEN excluded.ends_at
        WHEN counter.count < ${max} AND counter.count + excluded.count >= ${max} THEN coalesce(${lockEndsAt}, counter.ends_at)
        ELSE counter.ends_at END
    ${count}`)
  const subtract = prepare(
    sql`UPDATE ${counter} SET count = count - ${amount} WHERE key = ${key} AND ends_at > ${now}::bigint`,
  )
  const forget = prepare(sql`DELETE FROM ${counter} WHERE key = ${key}`)

  const named = ({ limit, key }: LimitEvent) => `${limit.name} ${key}`
  /** What this machine was last told, so that whoever is locked asks the database no more. */
  const told = createCounters()

  return {
    known: told.known,
    async read(events, now) {
      return told.set(
        events,
        await Promise.all(events.map(async (event) => (await read({ key: named(event), now }))[0])),
        now,
      )
    },
    async add(events, now) {
      const counts = await Promise.all(
        events.map(async (event) => {
          const { max, window, lock } = event.limit
          const values = { max, windowEndsAt: now + window, lockEndsAt: lock === undefined ? null : now + lock }
          return (await add({ key: named(event), amount: event.amount, now, ...values }))[0]
        }),
      )
      return told.set(events, counts, now)
    },
    async subtract(events, now) {
      await Promise.all(events.map((event) => subtract({ key: named(event), amount: event.amount, now })))
      told.subtract(events, now)
    },
    async forget(event) {
      await forget({ key: named(event) })
      told.forget(event)
    },
  }
}
