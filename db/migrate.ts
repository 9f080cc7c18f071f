/** Moves a database up and down its migrations. */
import type { Awaitable } from './counters.ts'

/** Says something to the operator, a line at a time. */
export type Say = (line: string) => void

/** A migration as the list of an engine has it. */
export interface Listed {
  /** What its files are named: `NAME.sql` is the way up, `NAME.down.sql` the way down. */
  name: string
  /** What to tell the operator before the way up, where it takes a while. */
  announce?: string
  /** A query of one row that counts, by name, what the way down cannot keep. */
  losses?: string
}

export interface Migration extends Listed {
  up: string
  down: string
}

/** The migrations of a list with the SQL of their files, by the files' names. */
export const withSql = (list: Listed[], files: Record<string, string>): Migration[] =>
  list.map((migration) => {
    const [up, down] = [files[`${migration.name}.sql`], files[`${migration.name}.down.sql`]]
    if (!up || !down) throw new Error(`The migration ${migration.name} lacks a file.`)
    return { ...migration, up, down }
  })

/** A database as the migrations see it. */
export interface Migratable {
  /** Every migration that this release knows for such a database. */
  migrations: Migration[]
  /** How many migrations are applied. */
  applied(): Awaitable<number>
  /** Runs `statements` in one transaction that takes the database from `from` to `to` migrations; nothing, if it is no longer at `from`. */
  step(statements: string, from: number, to: number): Awaitable<void>
  /** The counts that a query of one row gives, by name. */
  counts(query: string): Awaitable<Record<string, number>>
}

/** The names of the migrations that `database` still lacks. Throws where a newer release has made it. */
export async function pendingMigrations(database: Migratable): Promise<string[]> {
  const applied = await database.applied()
  const known = database.migrations.length
  if (applied > known) {
    throw new Error(
      `The database is at migration ${applied}, and this release knows only ${known}: it was made by a newer release.`,
    )
  }
  return database.migrations.slice(applied).map((migration) => migration.name)
}

/** Applies every migration that is pending, each in a transaction of its own. */
export async function upgrade(database: Migratable, say: Say) {
  await pendingMigrations(database)
  for (const [at, migration] of database.migrations.entries()) {
    if (at < (await database.applied())) continue
    if (migration.announce) say(`${migration.announce} …`)
    const started = performance.now()
    await database.step(migration.up, at, at + 1)
    say(`Applied ${migration.name} in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  }
}

/**
 * Takes the last migration back, after saying what that loses.
 * @param confirm asked only where something is lost; `false` leaves the database as it is
 */
export async function downgrade(database: Migratable, say: Say, confirm: () => boolean) {
  await pendingMigrations(database)
  const at = (await database.applied()) - 1
  const migration = database.migrations[at]
  if (!migration) return say('No migration is applied: there is nothing to take back')
  const counts = migration.losses ? await database.counts(migration.losses) : {}
  const lost = Object.entries(counts).filter(([, count]) => count > 0)
  if (lost.length > 0) {
    const list = lost.map(([what, count]) => `${what} (${count})`).join(', ')
    say(`The schema before ${migration.name} cannot hold all that is here, and this will be lost: ${list}`)
    if (!confirm()) return say('Nothing was changed')
  }
  await database.step(migration.down, at + 1, at)
  say(`Took back ${migration.name}`)
}
