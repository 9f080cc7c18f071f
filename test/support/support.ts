/** What the tests share: a filled store of their own, an app over it with a clock they set, and a client for it. */
import { Database } from 'bun:sqlite'
import { afterAll } from 'bun:test'
import { constants, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { treaty } from '@elysiajs/eden'
import { runCommand } from '../../db/commands.ts'
import { upgrade } from '../../db/migrate.ts'
import { openStore } from '../../db/open.ts'
import { openLocked } from '../../db/sqlite/connection.ts'
import { CODES, type NewText, type Store, type StoreOptions } from '../../db/store.ts'
import { type App, createApp } from '../../index.ts'
import { readSettings } from '../../settings.ts'
import { SMALL_POOL, withSmallPool } from './pool.ts'
import * as postgres from './postgres.ts'
import './time-limit.ts'

/** The folder of the project. */
export const root = new URL('../..', import.meta.url).pathname

const home = mkdtempSync(join(tmpdir(), 'extextcloud-test-'))
// This file is preloaded, so this runs once, after the last test of the last file.
afterAll(async () => {
  await postgres.stopCluster()
  rmSync(home, { recursive: true, force: true })
})

let onPostgres = false

/** Whether the stores of the tests that run now are on PostgreSQL. */
export const usePostgres = (use: boolean) => {
  onPostgres = use
}

/** What a store may hold in most tests: as much as they want. */
export const OPTIONS: StoreOptions = { codeRestSeconds: 86_400, maxTexts: 1e9, maxStoredBytes: 1e9 }

let made = 0

/** A path in the folder of this test run, which is removed at its end. */
export const temporaryPath = (name = 'test.db') => join(home, `${++made}-${name}`)

/** The path of a new database whose pool is the small one, or with `CODES` the full one: a copy, since filling one takes time. */
export async function filledDatabase(codes = SMALL_POOL): Promise<string> {
  const template = join(home, `${codes}.db`)
  if (!existsSync(template)) {
    const { sqlite, unlock } = await openLocked(template, (database) =>
      upgrade(codes === CODES ? database : withSmallPool(database), () => {}),
    )
    sqlite.close()
    unlock()
  }
  const path = temporaryPath()
  copyFileSync(template, path, constants.COPYFILE_FICLONE)
  return path
}

/** A database of a test's own, filled, on either engine. */
export interface TestDatabase {
  path: string
  /** Runs a query of its own, as an operator with a shell would. */
  query<Row>(sql: string, ...parameters: (string | number)[]): Row[]
  /** Throws where the pool has lost its invariant, being one of `codes` codes. */
  checkInvariant(codes?: number): void
  remove(): unknown
}

function sqliteDatabase(path: string): TestDatabase {
  return {
    path,
    query<Row>(sql: string, ...parameters: (string | number)[]): Row[] {
      using sqlite = openShell(path)
      return sqlite.query<Row, (string | number)[]>(sql).all(...parameters)
    },
    checkInvariant: (codes) => checkInvariant(path, codes),
    remove() {
      for (const ending of ['', '-wal', '-shm', '.lock']) rmSync(path + ending, { force: true })
    },
  }
}

export interface Stored extends TestDatabase, AsyncDisposable {
  store: Store
  /** Closes the store, and opens it anew. */
  reopen(): Promise<void>
}

/**
 * A store on a filled database of `codes` codes, or on that at `path`; closed, checked for its invariant and removed
 * when it goes out of scope.
 */
export async function testStore({
  path,
  codes = SMALL_POOL,
  ...options
}: Partial<StoreOptions> & { path?: string; codes?: number } = {}): Promise<Stored> {
  const database = onPostgres
    ? await postgres.testDatabase()
    : sqliteDatabase(path ?? (await filledDatabase(Math.max(codes, SMALL_POOL))))
  if (codes < SMALL_POOL) {
    const last = `SELECT code FROM code ORDER BY code LIMIT 1 OFFSET ${codes - 1}`
    database.query(`DELETE FROM code WHERE code > (${last})`)
  }
  const open = () => openStore(database.path, { ...OPTIONS, ...options })
  const stored: Stored = {
    ...database,
    store: await open(),
    async reopen() {
      await stored.store.close()
      stored.store = await open()
    },
    async [Symbol.asyncDispose]() {
      const { texts, bytes } = await stored.store.stats(T)
      const there = database.query('SELECT count(*) AS texts, coalesce(sum(octet_length(body)), 0) AS bytes FROM text')
      if (!Bun.deepEquals(there, [{ texts, bytes }]))
        throw new Error(`${texts} texts of ${bytes} bytes are counted, and ${JSON.stringify(there)} are there`)
      await stored.store.close()
      database.checkInvariant(codes)
      await database.remove()
    },
  }
  return stored
}

/** The database at `path` as an operator's shell has it: it waits while the server writes. */
export function openShell(path: string): Database {
  const shell = new Database(path)
  shell.run('PRAGMA busy_timeout = 5000')
  return shell
}

/** Every one of `codes` codes is in exactly one of the two tables. */
export function checkInvariant(path: string, codes = SMALL_POOL) {
  using sqlite = openShell(path)
  const counts = sqlite
    .query<{ free: number; lent: number; both: number }, []>(
      `SELECT (SELECT count(*) FROM code) AS free, (SELECT count(*) FROM text) AS lent,
        (SELECT count(*) FROM text JOIN code USING (code)) AS both`,
    )
    .get()
  if (counts?.both !== 0 || counts.free + counts.lent !== codes) {
    throw new Error(`The pool has lost its invariant: ${JSON.stringify(counts)}`)
  }
}

/** Runs a command of the operator's on the database at `url`; returns what it said. */
export async function run(command: string, url: string, ...args: string[]): Promise<string[]> {
  const said: string[] = []
  await runCommand(command, args, url, (line) => said.push(line))
  return said
}

/** When the tests begin, in milliseconds since 1970: far from the real now, which no test leans on. */
export const T = Date.UTC(2030, 0, 1)

/** The SHA-256 of an erase token. */
export const hash = (token: string) => new Bun.CryptoHasher('sha256').update(token).digest() as Buffer

/** A text to be stored that lives until a minute after `T`. Its erase token is its body. */
export const text = (body: string, more: Partial<NewText> = {}): NewText => ({
  body,
  passwordHash: null,
  seal: null,
  once: false,
  eraseTokenHash: hash(body),
  expiresAt: T + 60_000,
  writer: null,
  receiveTokenHash: null,
  publicKey: null,
  ...more,
})

/** The environment that turns every rate limit off. */
export const UNLIMITED = {
  REQUESTS_PER_MINUTE: '0',
  WRITES_PER_MINUTE: '0',
  WRITE_BYTES_PER_DAY: '0',
  MISSES_PER_HOUR: '0',
}

/**
 * The settings of a test: limits are off unless `env` names them, and texts as large as those that it names allow, since
 * settings that contradict each other are refused.
 */
export const testSettings = (env: Record<string, string>) => {
  const { WRITE_BYTES_PER_DAY = 0, MAX_STORED_BYTES = 0 } = env
  const largest = [1_048_576, Number(WRITE_BYTES_PER_DAY), Number(MAX_STORED_BYTES) / 10].filter((most) => most > 0)
  return readSettings({ ...UNLIMITED, MAX_TEXT_BYTES: String(Math.min(...largest)), ...env })
}

/** Seconds, minutes and hours in the milliseconds of the clock. */
export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

/**
 * An app over a store of its own. Its clock stands still until `clock.now` is set; a request's client is what its
 * header `x-client` says. `env` sets settings as the environment would; limits are off unless they are named there.
 */
export async function testApp(env: Record<string, string> = {}) {
  const settings = testSettings({ CLIENT_IP_HEADER: 'x-client', ...env })
  const stored = await testStore({
    codeRestSeconds: settings.CODE_REST_SECONDS,
    maxTexts: settings.MAX_TEXTS,
    maxStoredBytes: settings.MAX_STORED_BYTES,
  })
  const clock = { now: T }
  const app: App = createApp(stored.store, settings, () => clock.now)
  return {
    ...stored,
    app,
    clock,
    settings,
    api: treaty(app, { parseDate: false }).api,
    /** One request without a socket, as a plain HTTP client sends it. */
    fetch: (path: string, init?: RequestInit) => app.handle(new Request(`http://localhost${path}`, init)),
    /** A JSON request, sent as it is, whatever the schema says. */
    post: (path: string, body: unknown, headers: Record<string, string> = {}) =>
      app.handle(
        new Request(`http://localhost${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: typeof body === 'string' ? body : JSON.stringify(body),
        }),
      ),
  }
}

/** The error code of a JSON answer. */
export const errorCode = async (response: Response) =>
  ((await response.json()) as { error?: { code?: string } }).error?.code
