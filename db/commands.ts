/** The upkeep commands: `db:upgrade`, `db:downgrade`, `db:status`, `db:backup FILE`, `text:find CODE`, `text:erase CODE`. */
import { Database } from 'bun:sqlite'
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

  'text:find': (path, [code], say) => {
    using sqlite = openForReading(path)
    const found = findText(sqlite, code)
    const time = (milliseconds: number) => new Date(milliseconds).toISOString()
    say(`written     ${time(found.created_at)}`)
    say(`expires     ${time(found.expires_at)}`)
    say(`password    ${found.has_password ? 'yes' : 'no'}`)
    say(`only once   ${found.once ? 'yes' : 'no'}`)
    // As JSON, for what controls a terminal must not come through.
    say(`text        ${JSON.stringify(found.body)}`)
  },

  // By ending its time: the server's own sweep then deletes it, returns the code and clears the bytes.
  'text:erase': (path, [code], say) => {
    openForReading(path).close()
    using sqlite = new Database(path, { strict: true })
    sqlite.run('PRAGMA busy_timeout = 5000')
    findText(sqlite, code)
    sqlite.query('UPDATE text SET expires_at = 0 WHERE code = ?').run(code ?? '')
    say(
      `Nobody can load ${code} any more. The sweep clears it from the file: within a minute, or when the server starts.`,
    )
  },
}

interface FoundText {
  body: string
  has_password: number
  once: number
  created_at: number
  expires_at: number
}

/** The living text under `code`. Throws an Error of one line where there is none. */
function findText(sqlite: Database, code = ''): FoundText {
  if (!/^[A-Za-z]{4}$/.test(code)) throw new Error('This command needs the code of a text: four letters.')
  const found = sqlite
    .query<FoundText, [string, number]>(
      `SELECT body, password_hash IS NOT NULL AS has_password, once, created_at, expires_at
       FROM text WHERE code = ? AND expires_at > ?`,
    )
    .get(code, Date.now())
  if (!found) throw new Error(`There is no text with the code ${code}.`)
  return found
}

/**
 * Runs an upkeep command on the database at `path`.
 * @throws an Error of one line where the command is unknown or cannot be carried out
 */
export function runCommand(command: string, args: string[], path: string, say: Say) {
  const run = COMMANDS[command]
  if (!run) throw new Error(`There is no command "${command}". There are: ${Object.keys(COMMANDS).join(', ')}, health.`)
  run(path, args, say)
}

/** Works on the database while no server uses it. */
function change(path: string, work: Parameters<typeof openLocked>[1]) {
  const { sqlite, unlock } = openLocked(path, work)
  sqlite.close()
  unlock()
}
