/** Moves a database up and down its migrations. `PRAGMA user_version` counts the ones that are applied. */
import type { Database } from 'bun:sqlite'
import { migrations } from './migrations/index.ts'

/** Says something to the operator, a line at a time. */
export type Say = (line: string) => void

/** How many migrations are applied. */
export const appliedMigrations = (sqlite: Database): number =>
  sqlite.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version ?? 0

/** The names of the migrations that `sqlite` still lacks. Throws where a newer release has made the file. */
export function pendingMigrations(sqlite: Database): string[] {
  const applied = appliedMigrations(sqlite)
  if (applied > migrations.length) {
    throw new Error(
      `The database is at migration ${applied}, and this release knows only ${migrations.length}: it was made by a newer release.`,
    )
  }
  return migrations.slice(applied).map((migration) => migration.name)
}

/** Applies every migration that is pending, each in a transaction of its own. */
export function upgrade(sqlite: Database, say: Say) {
  pendingMigrations(sqlite)
  for (const [at, migration] of migrations.entries()) {
    if (at < appliedMigrations(sqlite)) continue
    if (migration.announce) say(`${migration.announce} …`)
    const started = performance.now()
    step(sqlite, migration.up, at + 1)
    say(`Applied ${migration.name} in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  }
}

/**
 * Takes the last migration back, after saying what that loses.
 * @param confirm asked only where something is lost; `false` leaves the database as it is
 */
export function downgrade(sqlite: Database, say: Say, confirm: () => boolean) {
  pendingMigrations(sqlite)
  const at = appliedMigrations(sqlite) - 1
  const migration = migrations[at]
  if (!migration) return say('No migration is applied: there is nothing to take back')
  const lost = Object.entries(
    (migration.losses && sqlite.query<Record<string, number>, []>(migration.losses).get()) || {},
  ).filter(([, count]) => count > 0)
  if (lost.length > 0) {
    const list = lost.map(([what, count]) => `${what} (${count})`).join(', ')
    say(`The schema before ${migration.name} cannot hold all that is here, and this will be lost: ${list}`)
    if (!confirm()) return say('Nothing was changed')
  }
  step(sqlite, migration.down, at)
  say(`Took back ${migration.name}`)
}

function step(sqlite: Database, statements: string, version: number) {
  sqlite
    .transaction(() => {
      sqlite.run(statements)
      sqlite.run(`PRAGMA user_version = ${version}`)
    })
    .immediate()
}
