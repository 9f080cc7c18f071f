/**
 * Clears the remains of deleted texts from the SQLite file.
 *
 * `secure_delete` zeroes what is deleted, but where SQLite repacks a page, a copy of a row that it moves can stay
 * behind in the page's gap, and outlive the row. So after deletions every living row moves to the end of the table:
 * the pages that it leaves are freed as a whole, and zeroed as a whole. The leftmost alone is used again, so its gap is
 * filled with rows of nothing, which are deleted in their turn. Large tables take several sweeps.
 */
import type { Database } from 'bun:sqlite'
import { type Transactions, TURN } from './commit.ts'

/** Bytes of living texts that one sweep moves at most: 6 GB a day, where texts are deleted all day long. */
const MOVED_BYTES = 4 * 1024 * 1024

/** What a row takes besides its body, at the least, and how many rows a page of 4 KiB holds at the most. */
const ROW_BYTES = 60
const TEXTS_ON_A_PAGE = Math.ceil(4096 / ROW_BYTES)

/** Rows of nothing, some 20 bytes each, that fill any gap of the leftmost page. */
const PADDING_ROWS = 600

export function createRemains(sqlite: Database, { commit, outside }: Transactions) {
  const moveOldest = sqlite.query<{ bytes: number }, { upTo: number }>(
    `UPDATE text SET rowid = (SELECT max(rowid) FROM text) + 1
     WHERE rowid = (SELECT min(rowid) FROM text WHERE rowid <= $upTo) RETURNING octet_length(body) AS bytes`,
  )
  // Every column that must have a value; the others have none, or their default.
  const padLeft = sqlite.query(
    `WITH RECURSIVE pad(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM pad WHERE n < ${PADDING_ROWS})
     INSERT INTO text (rowid, code, body, once, erase_token_hash, created_at, expires_at)
     SELECT (SELECT min(rowid) FROM text) - n, '#' || n, '', 0, x'', 0, 0 FROM pad`,
  )
  const unpadLeft = sqlite.query(`DELETE FROM text WHERE code >= '#' AND code < '$'`)
  const lastRow = sqlite.query<{ n: number | null }, []>('SELECT max(rowid) AS n FROM text')
  const vacuum = sqlite.query('PRAGMA incremental_vacuum(1)')
  const freePages = sqlite.query<{ n: number }, []>('SELECT freelist_count AS n FROM pragma_freelist_count')
  const checkpoint = sqlite.query('PRAGMA wal_checkpoint(TRUNCATE)')

  /** Whether a text was deleted since `moveUpTo` was set; and up to which row the living are still to be moved. */
  let deletedSince = true
  let moveUpTo = 0

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

  return {
    textsWereDeleted() {
      deletedSince = true
    },

    /** Clears what there is time for, in turns of a few milliseconds. */
    async clear() {
      if (deletedSince && moveUpTo === 0) {
        deletedSince = false
        // The page at the boundary holds moved rows too: those leave it as well.
        moveUpTo = (lastRow.get()?.n ?? 0) + TEXTS_ON_A_PAGE
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
        return (freePages.get()?.n ?? 0) > 0
      })
      outside(() => checkpoint.all())
    },
  }
}
