/** The upkeep commands, for any database: `db:upgrade`, `db:downgrade`, `db:status`, `db:backup FILE`, `db:rescue FILE`, `db:move FROM`, `text:find CODE`, `text:erase CODE`. */
import { Database } from 'bun:sqlite'
import { closeSync, existsSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { SQL } from 'bun'
import { and, eq, gt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { downgrade, type Migratable, pendingMigrations, type Say, upgrade } from './migrate.ts'
import { move } from './move.ts'
import {
  connect,
  connectionError,
  fillable,
  isPostgres,
  migratable as postgresMigratable,
  withoutPassword,
} from './postgres/connection.ts'
import { readText, type TextRow } from './postgres/rows.ts'
import { rescue } from './rescue.ts'
import { text } from './schema.ts'
import { lock, migratable, openForReading, openLocked } from './sqlite/connection.ts'
import { findDamage } from './sqlite/damage.ts'
import { damageOf, isDamage, RESCUE } from './sqlite/errors.ts'
import type { LentText } from './store.ts'

const COMMANDS: Record<string, (url: string, args: string[], say: Say) => void | Promise<void>> = {
  'db:upgrade': async (url, _args, say) => {
    await change(url, (database) => upgrade(database, say))
    say(`${nameOf(url)} is up to date`)
  },

  'db:downgrade': async (url, _args, say) => {
    const mayLose = () => !process.stdin.isTTY || confirm('Go on?')
    if (!isPostgres(url)) openForReading(url).close()
    await change(url, (database) => downgrade(database, say, mayLose))
  },

  'db:status': async (url, _args, say) => {
    if (isPostgres(url)) {
      return change(url, async (database) => {
        const { bytes = 0 } = await database.counts('SELECT pg_database_size(current_database()) AS bytes')
        say(`database    ${nameOf(url)}, ${n(bytes)} bytes`)
        await tell(database, say)
      })
    }
    using sqlite = openForReading(url)
    say(`file        ${resolve(url)}, ${n(statSync(url).size)} bytes`)
    const damage = findDamage(sqlite, 'integrity_check')
    if (damage.length > 0) throw new Error(damageOf(url, damage))
    await tell(migratable(sqlite), say)
    say('integrity   whole: every page, every index')
  },

  'db:backup': async (path, [file], say) => {
    if (isPostgres(path)) throw new Error('db:backup copies SQLite files. For PostgreSQL use pg_dump.')
    if (!file) throw new Error('db:backup needs the name of the file to write.')
    if (existsSync(file)) throw new Error(`${file} exists already: a backup never overwrites.`)
    using sqlite = openForReading(path)
    await makeWhole(file, (part) => {
      sqlite.query('VACUUM INTO ?').all(part)
      using copy = openForReading(part)
      const damage = findDamage(copy, 'integrity_check')
      if (damage.length > 0) throw new Error(damageOf(path, damage))
    })
    say(`${file} is a copy of ${path}, ${n(statSync(file).size)} bytes`)
  },

  'db:rescue': async (path, [file], say) => {
    if (isPostgres(path)) throw new Error('db:rescue reads SQLite files. For PostgreSQL see its manual.')
    if (!file) throw new Error('db:rescue needs the name of the file to write.')
    if (existsSync(file)) throw new Error(`${file} exists already: nothing is overwritten.`)
    if (!existsSync(path)) throw new Error(`There is no database at ${path}.`)
    // A file that was ever served has its lock beside it.
    const unlock = existsSync(`${realpathSync(path)}.lock`) ? lock(realpathSync(path)) : () => {}
    try {
      await makeWhole(file, (part) => rescue(path, part, Date.now(), say))
    } finally {
      unlock()
    }
    say(`${file} is whole, and ${path} is as it was. Put it there as you would a backup.`)
  },

  'db:move': async (url, [from], say) => {
    if (!from || !isPostgres(url)) {
      throw new Error('db:move needs the SQLite file to copy from, and a postgres:// address in DATABASE_URL.')
    }
    openForReading(from).close()
    const { sqlite, unlock } = await openLocked(from, (database) => upgrade(database, say))
    try {
      await withPostgres(url, async (client) => {
        await upgrade(postgresMigratable(client), say)
        await move(sqlite, client, say)
      })
    } finally {
      sqlite.close()
      unlock()
    }
  },

  'text:find': async (path, [code], say) => {
    const found = await find(path, code)
    for (const tell of Object.values(TOLD)) if (tell) say(tell(found))
  },

  // By ending its time: the server's own sweep then deletes it, returns the code and clears the bytes.
  'text:erase': async (path, [code], say) => {
    await find(path, code)
    if (isPostgres(path)) {
      await withPostgres(path, (client) => client.unsafe('UPDATE text SET expires_at = 0 WHERE code = $1', [code]))
      return say(`Nobody can load ${code} any more. The sweep deletes it within a minute, or when a server starts.`)
    }
    using sqlite = new Database(path, { strict: true })
    sqlite.run('PRAGMA busy_timeout = 5000')
    sqlite.query('UPDATE text SET expires_at = 0 WHERE code = ?').run(code ?? '')
    say(
      `Nobody can load ${code} any more. The sweep clears it from the file: within a minute, or when the server starts.`,
    )
  },
}

/** Makes `file` under another name until it is whole and on the disk: what bears the name can be relied on. */
async function makeWhole(file: string, make: (part: string) => Promise<void> | void) {
  const part = join(dirname(file), `.${basename(file)}.${process.pid}`)
  try {
    closeSync(openSync(part, 'wx', 0o600))
    await make(part)
    const descriptor = openSync(part, 'r+')
    fsyncSync(descriptor)
    closeSync(descriptor)
    renameSync(part, file)
  } finally {
    for (const ending of ['', '-wal', '-shm', '.lock']) rmSync(part + ending, { force: true })
  }
}

const time = (milliseconds: number) => new Date(milliseconds).toISOString()
const yesOrNo = (is: boolean) => (is ? 'yes' : 'no')

/** What an operator is told of each column; nothing where that is null. */
const TOLD: Record<keyof LentText, ((found: LentText) => string) | null> = {
  code: null,
  createdAt: ({ createdAt }) => `written     ${time(createdAt)}`,
  expiresAt: ({ expiresAt }) => `expires     ${time(expiresAt)}`,
  passwordHash: ({ passwordHash }) => `password    ${yesOrNo(passwordHash !== null)}`,
  once: ({ once }) => `only once   ${yesOrNo(once)}`,
  eraseTokenHash: null,
  writer: null,
  seal: ({ seal }) => `sealed      ${yesOrNo(seal !== null)}`,
  receiveTokenHash: ({ receiveTokenHash }) => `received    ${yesOrNo(receiveTokenHash !== null)}`,
  publicKey: null,
  // As JSON, for what controls a terminal must not come through.
  body: ({ body, seal, publicKey }) =>
    `text        ${seal === null ? JSON.stringify(body) : publicKey === null ? 'only its password opens it' : 'only who waits for it opens it'}`,
}

/** The living text under `code`. Throws an Error of one line where there is none. */
async function find(url: string, code = ''): Promise<LentText> {
  if (!/^[A-Za-z]{4}$/.test(code)) throw new Error('This command needs the code of a text: four letters.')
  let found: LentText | undefined
  if (isPostgres(url)) {
    const living = fillable(
      sql`SELECT ${readText()} FROM text WHERE code = ${sql.placeholder('code')} AND expires_at > ${sql.placeholder('now')}::bigint`,
    )
    const [row] = await withPostgres(url, (client) => client.unsafe<TextRow[]>(...living({ code, now: Date.now() })))
    if (row) found = { ...row, body: row.body.toString() }
  } else {
    using sqlite = openForReading(url)
    found = drizzle(sqlite, { casing: 'snake_case' })
      .select()
      .from(text)
      .where(and(eq(text.code, code), gt(text.expiresAt, Date.now())))
      .get()
  }
  if (!found) throw new Error(`There is no text with the code ${code}.`)
  return found
}

const n = (count: number) => count.toLocaleString('en')

const nameOf = (url: string) => (isPostgres(url) ? withoutPassword(url) : url)

/** Says what is in the database. */
async function tell(database: Migratable, say: Say) {
  const pending = await pendingMigrations(database)
  const applied = await database.applied()
  say(
    `migrations  ${applied} of ${database.migrations.length} applied${pending.map((name) => `, ${name} pending`).join('')}`,
  )
  if (applied === 0) return
  const now = Date.now()
  const {
    free = 0,
    resting = 0,
    texts = 0,
    expired = 0,
    bytes = 0,
  } = await database.counts(
    `SELECT (SELECT count(*) FROM code) AS free, (SELECT count(*) FROM code WHERE rests_until > ${now}) AS resting,
      count(*) AS texts, count(*) FILTER (WHERE expires_at <= ${now}) AS expired,
      coalesce(sum(octet_length(body)), 0) AS bytes FROM text`,
  )
  const {
    waiting = 0,
    filled = 0,
    receipts = 0,
  } = pending.some((name) => name.endsWith('_receive'))
    ? {}
    : await database.counts(
        `SELECT count(*) FILTER (WHERE octet_length(body) = 0) AS waiting, count(*) FILTER (WHERE octet_length(body) > 0) AS filled,
          (SELECT count(*) FROM receipt) AS receipts FROM text WHERE receive_token_hash IS NOT NULL`,
      )
  say(`texts       ${n(texts)}, ${n(bytes)} bytes; ${n(expired)} expired and not yet swept`)
  say(`codes       ${n(free)} in the pool; ${n(resting)} of them at rest`)
  say(`receiving   ${n(waiting)} codes wait for a text; ${n(filled)} texts wait to be fetched`)
  say(`receipts    ${n(receipts)}`)
}

/**
 * Runs an upkeep command on the database at `url`.
 * @throws an Error of one line where the command is unknown or cannot be carried out
 */
export async function runCommand(command: string, args: string[], url: string, say: Say) {
  const run = COMMANDS[command]
  if (!run) throw new Error(`There is no command "${command}". There are: ${Object.keys(COMMANDS).join(', ')}, health.`)
  try {
    await run(url, args, say)
  } catch (error) {
    if (!isDamage(error) || isPostgres(url)) throw error
    throw new Error(`${url} is damaged. db:status says what of it, and ${RESCUE}`)
  }
}

/** Works on the database: on a file while no server uses it, on PostgreSQL with whatever lock the work takes. */
async function change(url: string, work: (database: Migratable) => Promise<void>) {
  if (!isPostgres(url)) {
    const { sqlite, unlock } = await openLocked(url, work)
    sqlite.close()
    return unlock()
  }
  await withPostgres(url, (client) => work(postgresMigratable(client)))
}

/** Works on a command's own connection, which may lead through a pooler. */
async function withPostgres<T>(url: string, work: (client: SQL) => PromiseLike<T>): Promise<T> {
  const postgres = connect(url, { connections: 1, timeoutSeconds: 60, isPooled: true })
  try {
    return await work(postgres.client)
  } catch (error) {
    throw connectionError(url, error)
  } finally {
    await postgres.close()
  }
}
