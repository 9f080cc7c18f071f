/** The upkeep commands, for any database file: `db:upgrade`, `db:downgrade`, `db:status`, `db:backup FILE`. */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { appliedMigrations, downgrade, pendingMigrations, type Say, upgrade } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { openForReading, openLocked } from './sqlite.ts'

const COMMANDS: Record<string, (path: string, args: string[], say: Say) => void> = {
  'db:upgrade': (path, _args, say) => {
    change(path, (sqlite) => upgrade(sqlite, say))
    say(`${path} is up to date`)
  },

  'db:downgrade': (path, _args, say) => {
    const mayLose = () => !process.stdin.isTTY || confirm('Go on?')
    openForReading(path).close()
    change(path, (sqlite) => downgrade(sqlite, say, mayLose))
  },

  'db:status': (path, _args, say) => {
    using sqlite = openForReading(path)
    const pending = pendingMigrations(sqlite)
    say(`file        ${resolve(path)}, ${statSync(path).size.toLocaleString('en')} bytes`)
    say(
      `migrations  ${appliedMigrations(sqlite)} of ${migrations.length} applied${pending.map((name) => `, ${name} pending`).join('')}`,
    )
    if (appliedMigrations(sqlite) === 0) return
    const now = Date.now()
    const counts = sqlite
      .query<{ free: number; resting: number; texts: number; expired: number; bytes: number }, { now: number }>(
        `SELECT (SELECT count(*) FROM code) AS free, (SELECT count(*) FROM code WHERE rests_until > $now) AS resting,
          count(*) AS texts, count(*) FILTER (WHERE expires_at <= $now) AS expired,
          coalesce(sum(octet_length(body)), 0) AS bytes FROM text`,
      )
      .get({ now })
    if (!counts) return
    const n = (count: number) => count.toLocaleString('en')
    say(`texts       ${n(counts.texts)}, ${n(counts.bytes)} bytes; ${n(counts.expired)} expired and not yet swept`)
    say(`codes       ${n(counts.free)} in the pool; ${n(counts.resting)} of them at rest`)
  },

  'db:backup': (path, [file], say) => {
    if (!file) throw new Error('db:backup needs the name of the file to write.')
    if (existsSync(file)) throw new Error(`${file} exists already: a backup never overwrites.`)
    using sqlite = openForReading(path)
    // Under another name until it is whole and on the disk: what bears the backup's name can be relied on.
    const part = join(dirname(file), `.${basename(file)}.${process.pid}`)
    try {
      closeSync(openSync(part, 'wx', 0o600))
      sqlite.query('VACUUM INTO ?').all(part)
      const descriptor = openSync(part, 'r+')
      fsyncSync(descriptor)
      closeSync(descriptor)
      renameSync(part, file)
    } finally {
      rmSync(part, { force: true })
    }
    say(`${file} is a copy of ${path}, ${statSync(file).size.toLocaleString('en')} bytes`)
  },
}

/**
 * Runs an upkeep command on the database at `path`.
 * @throws an Error of one line where the command is unknown or cannot be carried out
 */
export function runCommand(command: string, args: string[], path: string, say: Say) {
  const run = COMMANDS[command]
  if (!run) throw new Error(`There is no command "${command}". There are: ${Object.keys(COMMANDS).join(', ')}.`)
  run(path, args, say)
}

/** Works on the database while no server uses it. */
function change(path: string, work: Parameters<typeof openLocked>[1]) {
  const { sqlite, unlock } = openLocked(path, work)
  sqlite.close()
  unlock()
}
