/** The store on SQLite: every statement that the server runs there, and the only place that knows them. */

import type { Database } from 'bun:sqlite'
import { and, eq, gt, lte, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { Refusal } from '../../errors.ts'
import { upgrade } from '../migrate.ts'
import * as schema from '../schema.ts'
import { randomCode, type Store, type StoreOptions } from '../store.ts'
import { isBusy, openLocked, sqliteCode } from './connection.ts'

/** Milliseconds of work before requests are let through. The sweep commits then, which takes many times that. */
const TURN = 1

/** Bytes of living texts that one sweep moves at most (see `sweep`): 6 GB a day, where texts are deleted all day long. */
const MOVED_BYTES = 4 * 1024 * 1024

/** What a row takes besides its body, at the least, and how many rows a page of 4 KiB holds at the most. */
const ROW_BYTES = 60
const TEXTS_ON_A_PAGE = Math.ceil(4096 / ROW_BYTES)

/** Rows of nothing, some 20 bytes each, that fill any gap of the leftmost page (see `sweep`). */
const PADDING_ROWS = 600

/**
 * Opens the database at `path` (a file, or `:memory:`), migrates it, and keeps other servers out of it.
 * @throws an Error of one line where another process has the file, or a newer release has made it
 */
export async function openSqliteStore(
  path: string,
  { codeRestSeconds, maxStoredBytes, say = () => {} }: StoreOptions,
): Promise<Store> {
  const { sqlite, unlock } = await openLocked(path, (database) => upgrade(database, say))
  const db = drizzle(sqlite, { casing: 'snake_case' })
  const { code, text } = schema

  const now = sql.placeholder('now')
  const returned = { code: text.code, bytes: sql<number>`octet_length(${text.body})` }
  const texts = (where: SQL | undefined) => db.delete(text).where(where).returning(returned).prepare()

  const findText = db
    .select()
    .from(text)
    .where(eq(text.code, sql.placeholder('code')))
    .prepare()
  const takeFreeCode = db
    .delete(code)
    .where(
      eq(
        code.code,
        sql`(SELECT ${code.code} FROM ${code} WHERE ${code.code} >= ${sql.placeholder('from')}
          AND (${code.restsUntil} IS NULL OR ${code.restsUntil} <= ${now}) ORDER BY ${code.code} LIMIT 1)`,
      ),
    )
    .returning()
    .prepare()
  const insertText = db
    .insert(text)
    .values({
      code: sql.placeholder('code'),
      body: sql.placeholder('body'),
      passwordHash: sql.placeholder('passwordHash'),
      once: sql.placeholder('once'),
      eraseTokenHash: sql.placeholder('eraseTokenHash'),
      createdAt: now,
      expiresAt: sql.placeholder('expiresAt'),
    })
    .prepare()
  const deleteLiving = texts(
    and(
      eq(text.code, sql.placeholder('code')),
      eq(text.eraseTokenHash, sql.placeholder('eraseTokenHash')),
      gt(text.expiresAt, now),
    ),
  )
  const deleteExpired = texts(and(eq(text.code, sql.placeholder('code')), lte(text.expiresAt, now)))
  const deleteNextExpired = texts(
    sql`rowid = (SELECT rowid FROM ${text} WHERE ${lte(text.expiresAt, now)} ORDER BY ${text.expiresAt} LIMIT 1)`,
  )
  const returnCode = db
    .insert(code)
    .values({ code: sql.placeholder('code'), restsUntil: sql.placeholder('restsUntil') })
    .prepare()
  const moveOldest = sqlite.query<{ bytes: number }, { upTo: number }>(
    `UPDATE text SET rowid = (SELECT max(rowid) FROM text) + 1
     WHERE rowid = (SELECT min(rowid) FROM text WHERE rowid <= $upTo) RETURNING octet_length(body) AS bytes`,
  )
  const padLeft = sqlite.query(
    `WITH RECURSIVE pad(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM pad WHERE n < ${PADDING_ROWS})
     INSERT INTO text (rowid, code, body, once, erase_token_hash, created_at, expires_at)
     SELECT (SELECT min(rowid) FROM text) - n, '#' || n, '', 0, x'', 0, 0 FROM pad`,
  )
  const unpadLeft = sqlite.query(`DELETE FROM text WHERE code >= '#' AND code < '$'`)
  const countResting = sqlite.query<{ n: number }, { now: number }>(
    'SELECT count(*) AS n FROM code WHERE rests_until > $now',
  )
  const measureNext = sqlite.query<{ texts: number; bytes: number; last: number }, { after: number }>(
    `SELECT count(*) AS texts, sum(octet_length(body)) AS bytes, max(rowid) AS last FROM (
      SELECT rowid, body FROM text WHERE rowid > $after ORDER BY rowid LIMIT 1000)`,
  )
  const vacuum = sqlite.query('PRAGMA incremental_vacuum(1)')
  const checkpoint = sqlite.query('PRAGMA wal_checkpoint(TRUNCATE)')
  const count = (query: string) => sqlite.query<{ n: number | null }, []>(query).get()?.n ?? 0

  const commit = groupCommit(sqlite)
  let storedTexts = 0
  let storedBytes = 0
  let measuring: Promise<void> | undefined
  /** While no code can be lent: from when on there may be one again. */
  let noCodesUntil = 0
  /** Whether a text was deleted since `moveUpTo` was set; and up to which row the living are still to be moved, see `sweep`. */
  let deletedSince = true
  let moveUpTo = 0

  /**
   * Resolves once `storedTexts` and `storedBytes` are known. Millions of texts take half a second to measure, in which a
   * server that starts answers loads already. Whatever changes texts waits for it.
   */
  function measured(): Promise<void> {
    measuring ??= measure().catch((error) => {
      measuring = undefined
      throw asRefusal(error)
    })
    return measuring
  }

  async function measure() {
    let [texts, bytes] = [0, 0]
    for (let after = Number.MIN_SAFE_INTEGER; ; await new Promise(setImmediate)) {
      const end = performance.now() + TURN
      do {
        const next = measureNext.get({ after })
        if (!next?.texts) {
          storedTexts = texts
          storedBytes = bytes
          return
        }
        texts += next.texts
        bytes += next.bytes
        after = next.last
      } while (performance.now() < end)
    }
  }

  /** Deletes texts and returns their codes to the pool, in one transaction. Returns how many there were. */
  async function release(deleteTexts: () => { code: string; bytes: number }[], now: number): Promise<number> {
    await measured()
    const restsUntil = now + codeRestSeconds * 1000
    const deleted = await commit(() => {
      const deleted = deleteTexts()
      for (const { code } of deleted) returnCode.run({ code, restsUntil })
      return deleted
    })
    if (deleted.length === 0) return 0
    storedTexts -= deleted.length
    for (const { bytes } of deleted) storedBytes -= bytes
    noCodesUntil = Math.min(noCodesUntil, restsUntil)
    deletedSince = true
    return deleted.length
  }

  /** Runs `work` until it returns false, in turns of a few milliseconds between which requests are answered. */
  async function inTurns(work: () => boolean) {
    for (let more = true; more; ) {
      more = await commit(() => {
        const end = performance.now() + TURN
        while (performance.now() < end) if (!work()) return false
        return true
      })
    }
  }

  /** Takes a random free code out of the pool: the first at or after a random one, beginning anew at the end. */
  function drawCode(at: number): string | undefined {
    if (at < noCodesUntil) return undefined
    const drawn = takeFreeCode.get({ from: randomCode(), now: at }) ?? takeFreeCode.get({ from: '', now: at })
    if (drawn) return drawn.code
    // The whole pool was read in vain: not again before there can be a code, nor in less than a second.
    const next = count(
      `SELECT min(n) AS n FROM (SELECT min(rests_until) AS n FROM code WHERE rests_until IS NOT NULL
        UNION ALL SELECT min(expires_at) + ${codeRestSeconds * 1000} FROM text)`,
    )
    noCodesUntil = Math.max(next, at + 1000)
  }

  return {
    async write(added, now) {
      await measured()
      const bytes = Buffer.byteLength(added.body)
      if (storedBytes + bytes > maxStoredBytes) throw new Refusal('storage_full')
      storedBytes += bytes
      let code: string | undefined
      try {
        code = await commit(() => {
          const code = drawCode(now)
          if (code !== undefined) insertText.run({ ...added, code, now })
          return code
        })
      } catch (error) {
        storedBytes -= bytes
        noCodesUntil = 0 // What was drawn along with this one is free again.
        throw error
      }
      if (code !== undefined) {
        storedTexts++
        return code
      }
      storedBytes -= bytes
      throw new Refusal('no_codes_left', { retryAfter: Math.max(1, Math.ceil((noCodesUntil - now) / 1000)) })
    },

    async load(code, now) {
      const found = findText.get({ code })
      if (!found || found.expiresAt > now) return found
      // Gone it is in any case: if the disk is full, or locked, the sweep comes by later.
      await release(() => deleteExpired.all({ code, now }), now).catch((error) => {
        if (!(error instanceof Refusal)) throw error
      })
    },

    async erase(code, eraseTokenHash, now) {
      return (await release(() => deleteLiving.all({ code, eraseTokenHash, now }), now)) > 0
    },

    /**
     * Also clears the remains of deleted texts from the file, in turns of a few milliseconds.
     *
     * `secure_delete` zeroes what is deleted, but where SQLite repacks a page, a copy of a row that it moves can stay
     * behind in the page's gap, and outlive the row. So after deletions every living row moves to the end of the
     * table: the pages that it leaves are freed as a whole, and zeroed as a whole. The leftmost alone is used again, so
     * its gap is filled with rows of nothing, which are deleted in their turn. Large tables take several sweeps.
     */
    async sweep(now) {
      let swept = 0
      for (let turn = 1; turn > 0; swept += turn) {
        turn = await release(() => {
          const end = performance.now() + TURN
          const deleted = []
          while (performance.now() < end) {
            const next = deleteNextExpired.all({ now })
            if (next.length === 0) break
            deleted.push(...next)
          }
          return deleted
        }, now)
      }

      if (deletedSince && moveUpTo === 0) {
        deletedSince = false
        // The page at the boundary holds moved rows too: those leave it as well.
        moveUpTo = count('SELECT max(rowid) AS n FROM text') + TEXTS_ON_A_PAGE
      }
      const upTo = moveUpTo
      let budget = MOVED_BYTES
      let isMoved = false
      if (upTo > 0) {
        await inTurns(() => {
          const moved = moveOldest.get({ upTo })
          if (moved) budget -= moved.bytes + ROW_BYTES
          else {
            padLeft.run()
            unpadLeft.run()
          }
          isMoved = !moved
          return !isMoved && budget > 0
        })
      }
      // Only once it is committed: a turn that shares its transaction with a write that fails is done again.
      if (isMoved && moveUpTo === upTo) moveUpTo = 0
      await inTurns(() => {
        vacuum.all()
        return count('SELECT freelist_count AS n FROM pragma_freelist_count') > 0
      })
      checkpoint.all()
      return swept
    },

    check: () => void count('SELECT count(*) AS n FROM (SELECT 1 FROM code LIMIT 1)'),

    async stats(now) {
      await measured()
      return { texts: storedTexts, bytes: storedBytes, resting: countResting.get({ now })?.n ?? 0 }
    },

    async close() {
      await new Promise(setImmediate)
      sqlite.close()
      unlock()
    },
  }
}

/**
 * Makes the function that commits work. What arrives in one turn of the event loop shares one transaction, and so one
 * fsync: several times the rate of a commit each, and just as durable, since nothing is answered before it.
 */
function groupCommit(sqlite: Database) {
  let waiting: { run: () => void; done: () => void; fail: (error: unknown) => void }[] = []

  const together = sqlite.transaction((jobs: typeof waiting) => {
    for (const job of jobs) job.run()
  })

  function commit(jobs: typeof waiting) {
    try {
      together.immediate(jobs)
    } catch (error) {
      // One that fails must not fail its neighbours: each gets a transaction of its own. A file that is locked is
      // locked for all of them, and each would block the process while it waits.
      if (jobs.length > 1 && !isBusy(error)) for (const job of jobs) commit([job])
      else for (const job of jobs) job.fail(asRefusal(error))
      return
    }
    for (const job of jobs) job.done()
  }

  return <T>(work: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      let result: T
      const run = () => {
        result = work()
      }
      if (waiting.push({ run, done: () => resolve(result), fail: reject }) > 1) return
      setImmediate(() => {
        const jobs = waiting
        waiting = []
        commit(jobs)
      })
    })
}

/** What an SQLite error means to a user, where it means anything. */
function asRefusal(error: unknown): unknown {
  const code = sqliteCode(error)
  if (isBusy(error)) return new Refusal('busy', { retryAfter: 1 })
  if (code === 'SQLITE_FULL' || code?.startsWith('SQLITE_IOERR')) return new Refusal('storage_full')
  return error
}
