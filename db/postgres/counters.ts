/** The counts of limits on PostgreSQL, which all servers share. */
import { sql } from 'drizzle-orm'
import { type Count, type Counters, createCounters, type LimitEvent } from '../counters.ts'
import { array, batched, type Postgres } from './connection.ts'
import { counter } from './schema.ts'

/** Counters that are kept, those that end last: what bounds their table to some 200 MB. */
const KEPT_COUNTERS = 1_000_000

/** Counters that one statement deletes of those that have ended; and of those that are too many, to find which takes most of its time. */
const SWEPT_AT_ONCE = 500
const DROPPED_AT_ONCE = 50_000

const now = sql.placeholder('now')

/**
 * The counts that all machines share. Our own statement and not rate-limiter-flexible, which goes by its own clock.
 * Where the database cannot be had, every call is refused as `busy`, and with it whatever asked: guessing is never free.
 */
export function sharedCounters({ prepare }: Postgres): Counters & { sweep(now: number): Promise<void> } {
  const key = sql.placeholder('key')
  const counts = sql`counter.count::float8 AS "count", counter.ends_at::float8 AS "endsAt"`

  const readAll = prepare<Count & { key: string }>(
    sql`SELECT key, ${counts} FROM ${counter} WHERE key = ANY (${array('keys')})`,
  )
  const read = batched(async (asked: readonly { key: string; now: number }[]) => {
    const rows = await readAll({ keys: JSON.stringify(asked.map(({ key }) => key)) })
    const found = new Map(rows.map(({ key, ...count }) => [key, count]))
    return asked.map(({ key, now }) => {
      const count = found.get(key)
      return count && count.endsAt > now ? count : undefined
    })
  })

  // In the order of their keys, so that no two servers wait for each other.
  const addAll = prepare<Count & { key: string }>(sql`
    WITH added AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${sql.placeholder('added')}::text::json) AS added(
        key text, amount bigint, max bigint, "windowEndsAt" bigint, "lockEndsAt" bigint)
    )
    INSERT INTO ${counter} AS counter (key, count, ends_at)
    SELECT key, amount, coalesce(CASE WHEN amount >= max THEN "lockEndsAt" END, "windowEndsAt") FROM added ORDER BY key
    ON CONFLICT (key) DO UPDATE SET
      count = CASE WHEN counter.ends_at > ${now}::bigint THEN counter.count ELSE 0 END + excluded.count,
      ends_at = CASE WHEN counter.ends_at <= ${now}::bigint THEN excluded.ends_at ELSE coalesce(
        (SELECT "lockEndsAt" FROM added WHERE added.key = excluded.key AND counter.count < max AND counter.count + amount >= max),
        counter.ends_at) END
    RETURNING key, ${counts}`)
  const add = batched(async (asked: readonly { event: LimitEvent; now: number }[]) => {
    const now = Math.max(...asked.map(({ now }) => now))
    const sums = new Map<string, { event: LimitEvent; amount: number }>()
    // A statement counts each key once, so events of the same key count together, and each is told the count up to it.
    const upTo = asked.map(({ event }) => {
      const amount = (sums.get(named(event))?.amount ?? 0) + event.amount
      sums.set(named(event), { event, amount })
      return amount
    })
    const added = Array.from(sums, ([key, { event, amount }]) => {
      const { max, window, lock } = event.limit
      return { key, amount, max, windowEndsAt: now + window, lockEndsAt: lock === undefined ? null : now + lock }
    })
    const counted = new Map(
      (await addAll({ added: JSON.stringify(added), now })).map(({ key, ...count }) => [key, count]),
    )
    return asked.map(({ event }, at) => {
      const { count = 0, endsAt = 0 } = counted.get(named(event)) ?? {}
      const { amount = 0 } = sums.get(named(event)) ?? {}
      return { count: count - amount + (upTo[at] ?? 0), endsAt }
    })
  })

  const subtract = prepare(
    sql`UPDATE ${counter} SET count = count - ${sql.placeholder('amount')}::bigint WHERE key = ${key} AND ends_at > ${now}::bigint`,
  )
  const forget = prepare(sql`DELETE FROM ${counter} WHERE key = ${key}`)

  const sweepSome = prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${counter} WHERE key = ANY (ARRAY(
      (SELECT key FROM ${counter} WHERE ends_at <= ${now}::bigint LIMIT ${sql.raw(`${SWEPT_AT_ONCE}`)} FOR UPDATE SKIP LOCKED)))
      RETURNING key) SELECT count(*)::int AS n FROM gone`)

  const dropSome = prepare<{ n: number }>(sql`
    WITH gone AS (DELETE FROM ${counter} WHERE key = ANY (ARRAY(
      SELECT key FROM ${counter} WHERE ends_at <= (
        SELECT ends_at FROM ${counter} ORDER BY ends_at DESC OFFSET ${sql.raw(`${KEPT_COUNTERS}`)} LIMIT 1)
      LIMIT ${sql.raw(`${DROPPED_AT_ONCE}`)} FOR UPDATE SKIP LOCKED))
      RETURNING key) SELECT count(*)::int AS n FROM gone`)

  const named = ({ limit, key }: LimitEvent) => `${limit.name} ${key}`
  /** What this machine was last told, so that whoever is locked asks the database no more. */
  const told = createCounters(true)
  /** The last counting of each key that is under way. A read waits for it, so that of a burst no more are told than one by one. */
  const adding = new Map<string, Promise<unknown>>()

  return {
    known: told.known,
    async read(events, now) {
      if (adding.size > 0) await Promise.allSettled(events.map((event) => adding.get(named(event))))
      return told.set(events, await Promise.all(events.map((event) => read({ key: named(event), now }))), now)
    },
    async add(events, now) {
      const counts = events.map((event) => {
        const key = named(event)
        const added = add({ event, now })
        const end = () => {
          if (adding.get(key) === added) adding.delete(key)
        }
        adding.set(key, added)
        added.then(end, end)
        return added
      })
      return told.set(events, await Promise.all(counts), now)
    },
    async subtract(events, now) {
      await Promise.all(events.map((event) => subtract({ key: named(event), amount: event.amount, now })))
      told.subtract(events, now)
    },
    async forget(event) {
      await forget({ key: named(event) })
      told.forget(event)
    },
    /** Deletes what counts no more, and what the table has too many of. */
    async sweep(now) {
      while ((await sweepSome({ now }))[0]?.n) {}
      while ((await dropSome({}))[0]?.n) {}
    },
  }
}
