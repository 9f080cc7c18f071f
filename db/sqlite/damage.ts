/** A damaged file: how that is noticed, what is said of it, and what is still done with it. */
import type { Database } from 'bun:sqlite'
import { isUtf8 } from 'node:buffer'
import { Refusal } from '../../errors.ts'
import type { Say } from '../migrate.ts'
import { damageOf, FIRST_PAGE, isBusy, isDamage, sqliteCode } from './errors.ts'

/**
 * What is damaged of a file, in words; nothing where it is whole.
 * @param check `integrity_check` also holds each index against its table, and takes longer
 */
export function findDamage(sqlite: Database, check: 'quick_check' | 'integrity_check'): string[] {
  const messages: string[] = []
  let trees: { name: string; root: number; words: string }[]
  try {
    trees = sqlite
      .query<(typeof trees)[number], []>(
        `SELECT name, rootpage AS root, iif(type = 'index', 'the index ' || name || ' of ', '') || 'the table ' || tbl_name AS words
         FROM sqlite_schema`,
      )
      .all()
  } catch {
    return [FIRST_PAGE]
  }
  try {
    // One by one, since an error may end them after it has been said what is wrong.
    for (const row of sqlite.query<Record<string, string>, []>(`PRAGMA ${check}`).iterate()) {
      messages.push(...Object.values(row).flatMap((message) => message.split('\n')))
    }
  } catch (error) {
    if (!isDamage(error)) throw error
    messages.push('something that SQLite does not name')
  }
  if (check === 'integrity_check' && hasBrokenText(sqlite)) messages.push('broken text in text')
  const found = messages.flatMap((message) => {
    const [, root] = /^Tree (\d+) /.exec(message) ?? []
    const [, name] = / (?:index|in|for) (\w+)/.exec(message) ?? []
    const tree = trees.find((tree) => tree.root === Number(root)) ?? trees.find((tree) => tree.name === name)
    if (/ptr ?map|pointer map/.test(message)) return ['the map of its pages']
    if (message.startsWith('Freelist')) return ['the list of its free pages']
    return tree ? [tree.words] : []
  })
  const others = messages.filter((message) => message !== 'ok' && !message.startsWith('***'))
  return [...new Set(found.length > 0 ? found : others)]
}

/** Whether a text is there that is not UTF-8, as every text was that was written: its page was damaged so that SQLite sees nothing. */
function hasBrokenText(sqlite: Database): boolean {
  try {
    for (const { body } of sqlite
      .query<{ body: Uint8Array }, []>('SELECT CAST(body AS BLOB) AS body FROM text')
      .iterate()) {
      if (!isUtf8(body)) return true
    }
  } catch {
    // Damaged in a way that SQLite sees, or without the table.
  }
  return false
}

/** What users are told. No wait is promised: a person has to do something. */
const TOLD =
  'The storage of this server is damaged: it can read what is left, and write nothing, until whoever runs it has mended it.'

/**
 * Watches over a file that is served. Once it turns out to be damaged, nothing is written to it any more, which could
 * destroy more of it; what can be read is.
 */
export function watchDamage(sqlite: Database, path: string, say: Say) {
  let damage: Refusal | undefined

  function found(error: Error): Refusal {
    sqlite.run('PRAGMA query_only = ON')
    let parts = findDamage(sqlite, 'quick_check')
    if (parts.length === 0) parts = findDamage(sqlite, 'integrity_check')
    const message = damageOf(path, parts.length > 0 ? parts : [error.message])
    say(message)
    return Object.assign(new Refusal('busy', { message: TOLD }), { cause: new Error(message) })
  }

  /** What an error means to a user, where it means anything. */
  function explain(error: unknown): unknown {
    const code = sqliteCode(error)
    if (isDamage(error)) damage ??= found(error)
    if (isDamage(error) || (damage && code === 'SQLITE_READONLY')) return damage
    if (isBusy(error)) return new Refusal('busy', { retryAfter: 1 })
    if (code === 'SQLITE_FULL' || code?.startsWith('SQLITE_IOERR')) return new Refusal('storage_full')
    return error
  }

  return {
    explain,
    isFound: () => damage !== undefined,

    /** Throws where the file is known to be damaged. */
    refuse() {
      if (damage) throw damage
    },

    /** Does `work`, and explains what it throws. */
    watch<T>(work: () => T): T {
      try {
        return work()
      } catch (error) {
        throw explain(error)
      }
    },
  }
}

export type Damage = ReturnType<typeof watchDamage>
