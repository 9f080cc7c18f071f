/** Talks to PostgreSQL: the connections, what may go wrong with them, and how long anybody waits for that. */
import { SQL } from 'bun'
import DataLoader from 'dataloader'
import { fillPlaceholders, type SQL as Statement, sql } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import pLimit from 'p-limit'
import { Refusal } from '../../errors.ts'
import type { Migratable } from '../migrate.ts'
import type { ServerOptions } from '../store.ts'
import { migrations } from './migrations/index.ts'

/** Milliseconds after which a statement that has not begun gives up. */
const PATIENCE = 1000

/** Milliseconds that the server has to cancel a statement itself, before its silence means that it cannot be reached. */
const GRACE = 1000

/** The most requests that share a statement. */
const BATCH = 32

/** "extx": the advisory locks that migrating and sweeping take, so that of all machines one does it at a time. */
export const MIGRATION_LOCK = 0x65787478
export const SWEEP_LOCK = MIGRATION_LOCK + 1

/** SQLSTATEs of a standby, which neither writes (25006) nor reads what is unlogged (0A000): its primary has the same address. */
const STANDBY = /^(25006|0A000)$/

/** SQLSTATEs, or their classes, that pass: no connection, no resources, an operator's stop, a lost race. */
const PASSING = /^(08|53|57|40|58|55P03|26000|XX000)/
const DISK_FULL = '53100'

export const isPostgres = (url: string) => /^postgres(ql)?:\/\//.test(url)

/** What operators may read of an address: it without the password. */
export function withoutPassword(url: string): string {
  const parsed = new URL(url)
  parsed.password = ''
  parsed.search = ''
  return parsed.href
}

/** Lets so many work at once, and the others wait for them: what has waited too long to begin is refused as `busy`. */
export function turns(atOnce: number) {
  const inTurn = pLimit(atOnce)
  return <T>(work: () => Promise<T>): Promise<T> => {
    const asked = performance.now()
    return inTurn(() => {
      if (performance.now() - asked > PATIENCE) throw new Refusal('busy', { retryAfter: 1 })
      return work()
    })
  }
}

export type Postgres = ReturnType<typeof connect>

/** @param url opens no connection before the first statement */
export function connect(
  url: string,
  { connections = 10, timeoutSeconds = 3, isPooled = false }: Partial<ServerOptions>,
) {
  const open = () =>
    new SQL(url, {
      max: connections,
      connectionTimeout: timeoutSeconds,
      // A pooler's connections are lent anew for each transaction: it refuses settings, and forgets prepared statements.
      prepare: !isPooled,
      ...(!isPooled && { connection: { statement_timeout: timeoutSeconds * 1000, application_name: 'extextcloud' } }),
    })
  let client = open()
  const inTurn = turns(connections)

  /** Drops every connection, and lets the next statement open new ones: nothing else ends one whose other end is gone. */
  function reconnect(lost: SQL) {
    if (lost !== client) return
    client = open()
    void lost.close({ timeout: 0 }).catch(() => {})
  }

  async function inTime<T>(work: (client: SQL) => Promise<T>): Promise<T> {
    const used = client
    const silence = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => {
        silence.reject(new Refusal('busy', { retryAfter: 5 }))
        reconnect(used)
      },
      timeoutSeconds * 1000 + GRACE,
    )
    try {
      return await Promise.race([work(used), silence.promise])
    } catch (error) {
      if (STANDBY.test(sqlState(error))) reconnect(used)
      throw asRefusal(error)
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Does `work` when a connection is free. Ends within the timeout and two seconds: what has waited too long to begin,
   * or what is not answered, is refused as `busy`.
   */
  const run = <T>(work: (client: SQL) => Promise<T>): Promise<T> => inTurn(() => inTime(work))

  return {
    run,

    /** A statement that is run again and again, each time with other values for its placeholders. */
    prepare<Row>(statement: Statement) {
      const fill = fillable(statement)
      return (values: Record<string, unknown>): Promise<Row[]> => run((client) => client.unsafe<Row[]>(...fill(values)))
    },

    /** The client itself, for what may take longer than a request. */
    get client() {
      return client
    },

    close: () => client.close({ timeout: 1 }),
  }
}

const dialect = new PgDialect({ casing: 'snake_case' })

/** Makes what `unsafe` takes of a statement and the values of its placeholders. */
export function fillable(statement: Statement) {
  const { sql, params } = dialect.sqlToQuery(statement)
  return (values: Record<string, unknown>): [sql: string, values: unknown[]] => [sql, fillPlaceholders(params, values)]
}

/** The placeholder of an array of strings, which comes as JSON. */
export const array = (name: string) => sql`ARRAY(SELECT json_array_elements_text(${sql.placeholder(name)}::text::json))`

/**
 * What is asked in one turn of the event loop shares one statement: many times the rate of a statement each, whose cost
 * lies in the way there and back, and for writes in the commit. Where it fails, it fails for all of them: so nothing
 * that a client says may make it fail.
 */
export function batched<Asked, Answer>(answer: (asked: readonly Asked[]) => Promise<Answer[]>) {
  const loader = new DataLoader(answer, { cache: false, maxBatchSize: BATCH, batchScheduleFn: setImmediate })
  return (asked: Asked) => loader.load(asked)
}

const sqlState = (error: unknown): string => (error instanceof SQL.PostgresError && error.errno) || ''

/** What an error of PostgreSQL, or of the way there, means to a user, where it means anything. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof SQL.PostgresError)) return error
  const state = sqlState(error)
  if (state === DISK_FULL) return new Refusal('storage_full')
  if (state === '' || PASSING.test(state) || STANDBY.test(state)) {
    return Object.assign(new Refusal('busy', { retryAfter: 2 }), { cause: error })
  }
  // Without its detail, which can hold the whole row.
  return new Error(`PostgreSQL ${state}: ${error.message}`)
}

/** One line for the operator: no connection has it in its message why. */
export function connectionError(url: string, error: unknown): unknown {
  if (!(error instanceof SQL.PostgresError)) return error
  return new Error(`Cannot use ${withoutPassword(url)}: ${error.message}`)
}

/** The table `migration` has a row for each migration that is applied. */
export const migratable = (client: SQL): Migratable => ({
  migrations,
  applied: () => appliedTo(client),
  step: (statements, from, to) =>
    client.begin(async (transaction) => {
      await transaction.unsafe(`SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
      // Before anything is asked of the table: this also makes the connection see that another has just made it.
      await transaction.unsafe('CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY)')
      if ((await appliedTo(transaction)) !== from) return
      await transaction.unsafe(statements)
      await transaction.unsafe(
        `DELETE FROM migration WHERE number > ${to}; INSERT INTO migration SELECT generate_series(${from + 1}, ${to})`,
      )
    }),
  async counts(query) {
    const [row] = await client.unsafe<Record<string, string>[]>(query)
    return Object.fromEntries(Object.entries(row ?? {}).map(([name, count]) => [name, Number(count)]))
  },
})

async function appliedTo(client: SQL): Promise<number> {
  const [table] = await client.unsafe<{ exists: boolean }[]>(`SELECT to_regclass('migration') IS NOT NULL AS exists`)
  if (!table?.exists) return 0
  const [row] = await client.unsafe<{ n: string }[]>('SELECT count(*) AS n FROM migration')
  return Number(row?.n)
}
