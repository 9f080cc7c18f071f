/** Opens the SQLite file: its pragmas, its permissions, and who may have it. */
import { Database } from 'bun:sqlite'
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Migratable } from '../migrate.ts'
import { migrations } from '../migrations/index.ts'
import { damageOf, FIRST_PAGE, isBusy, isDamage } from './errors.ts'
import { openPages, readLog } from './pages.ts'

export const MEMORY = ':memory:'

/** "exTC", the mark in the file's head by which a database of ours is told from one that is not to be touched. */
const APPLICATION_ID = 0x65785443

function openSqlite(path: string): Database {
  const isNew = path !== MEMORY && statSync(path).size === 0
  const sqlite = new Database(path, { strict: true })
  // Another process (a backup, a shell) may hold the file for a moment. Longer than this, requests had better be told.
  sqlite.run('PRAGMA busy_timeout = 100')
  // Gives the room of deleted texts back to the disk. Takes effect only before the first page is written.
  sqlite.run('PRAGMA auto_vacuum = INCREMENTAL')
  if (isNew) sqlite.run(`PRAGMA application_id = ${APPLICATION_ID}`)
  // Each commit is on the disk before it is answered.
  sqlite.run('PRAGMA synchronous = FULL')
  // What is deleted is overwritten with zeros.
  sqlite.run('PRAGMA secure_delete = ON')
  return sqlite
}

/**
 * Opens the database at `path` for this process alone, and brings it to the schema that is asked for. It is made where
 * it is missing, readable by its owner alone; SQLite gives its -wal and -shm files the same mode.
 * @returns the database, and what lets go of the file once it is closed
 * @throws an Error of one line where the file is not ours, or another process has it; nothing was changed then
 */
export async function openLocked(path: string, migrate: (database: Migratable) => Promise<void>) {
  let unlock = () => {}
  let sqlite: Database | undefined
  try {
    if (path !== MEMORY) {
      refuseForeign(path)
      refuseDamagedLog(path)
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      closeSync(openSync(path, 'a', 0o600))
      // By its real name, so that a link to the file is no way around the lock.
      unlock = lock(realpathSync(path))
      chmodSync(path, 0o600)
    }
    sqlite = openSqlite(path)
    await migrate(migratable(sqlite))
    sqlite.query('SELECT count(*) FROM sqlite_schema').get() // Reads what tables there are.
    // Readers and the writer do not wait for each other, and a backup can be taken while the server runs. Only now,
    // since the pool is filled in one transaction, which would double the file in the log.
    sqlite.run('PRAGMA journal_mode = WAL')
    return { sqlite, unlock }
  } catch (error) {
    sqlite?.close()
    unlock()
    if (isDamage(error)) throw new Error(damageOf(path, [FIRST_PAGE]))
    // A code is what the system and SQLite give their errors; ours are sentences already.
    throw error instanceof Error && 'code' in error ? new Error(`Cannot open ${path}: ${error.message}`) : error
  }
}

/** `PRAGMA user_version` counts the migrations that are applied. Nobody else can have the file meanwhile. */
export const migratable = (sqlite: Database): Migratable => ({
  migrations,
  applied: () => sqlite.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version ?? 0,
  step(statements, _from, to) {
    sqlite
      .transaction(() => {
        sqlite.run(statements)
        sqlite.run(`PRAGMA user_version = ${to}`)
      })
      .immediate()
  },
  counts: (query) => sqlite.query<Record<string, number>, []>(query).get() ?? {},
})

/** Opens an existing file for reading. Throws an Error of one line where there is none. */
export function openForReading(path: string): Database {
  if (!existsSync(path)) throw new Error(`There is no database at ${path}.`)
  refuseForeign(path)
  refuseDamagedLog(path)
  return new Database(path, { strict: true, readonly: true })
}

/** Throws an Error of one line where SQLite would leave out commits that are on the disk, since the log is damaged before them. */
function refuseDamagedLog(path: string) {
  // Twice, since a server may begin the log anew while it is read.
  if (readLog(path).isDamaged && readLog(path).isDamaged)
    throw new Error(damageOf(`${path}-wal`, ['the log, before its last commits']))
}

/** Throws an Error of one line where `path` is anything but a database of ours that can be opened, or an empty file. */
function refuseForeign(path: string) {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat || (stat.isFile() && stat.size === 0)) return
  const head = Buffer.alloc(72) // https://www.sqlite.org/fileformat.html#the_database_header
  if (stat.isFile()) {
    const file = openSync(path, 'r')
    readSync(file, head)
    closeSync(file)
  }
  if (head.toString('latin1', 0, 15) === 'SQLite format 3' && head.readUInt32BE(68) === APPLICATION_ID) return
  throw new Error(
    stat.isFile() && hasPool(path)
      ? damageOf(path, [FIRST_PAGE])
      : `${path} is not a database of extextcloud. Nothing was changed.`,
  )
}

/** Whether there is a pool of codes in the file, among whose first pages it is, whatever its head says. */
function hasPool(path: string): boolean {
  const pages = openPages(path)
  try {
    for (const { values } of pages.cells('entries', 100)) {
      const [code, rest] = values
      if (values.length === 2 && typeof code === 'string' && /^[A-Za-z]{4}$/.test(code) && rest === null) return true
    }
    return false
  } finally {
    pages.close()
  }
}

/**
 * Makes this process the only one that serves or migrates `path`: two servers would count limits twice and sweep twice.
 * The lock is an exclusive SQLite transaction on an empty file beside the database: the system ends it with the
 * process, however that ends, and it hinders neither backups nor shells.
 */
export function lock(path: string): () => void {
  closeSync(openSync(`${path}.lock`, 'a', 0o600))
  const lock = new Database(`${path}.lock`)
  try {
    lock.run('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    throw isBusy(error) ? new Error(`Another process is using ${path}: stop it first.`) : error
  }
  return () => lock.close()
}
