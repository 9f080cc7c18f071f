/** What is stored in the SQLite file, as this process counts it: measured once, then kept. */
import type { Database } from 'bun:sqlite'
import { TURN } from './commit.ts'
import type { Damage } from './damage.ts'

/** What counts of a text. */
interface Counted {
  writer: number | null
  bytes: number
  /** Whether somebody waits for it. */
  isReceiving: boolean
}

export function createStored(sqlite: Database, damage: Damage) {
  const measureNext = sqlite.query<Omit<Counted, 'isReceiving'> & { id: number }, { after: number }>(
    'SELECT rowid AS id, writer, octet_length(body) AS bytes FROM text WHERE rowid > $after ORDER BY rowid LIMIT 1000',
  )
  const countReceiving = sqlite.query<{ n: number }, []>(
    'SELECT count(*) AS n FROM text WHERE receive_token_hash IS NOT NULL',
  )
  const known = { texts: 0, bytes: 0, receiving: 0 }
  /** Of the writers that have a text: 65,536 at the most. */
  const bytesOfWriters = new Map<number, number>()
  let measuring: Promise<void> | undefined

  function add({ writer, bytes, isReceiving }: Counted, times: 1 | -1) {
    known.texts += times
    known.bytes += times * bytes
    if (isReceiving) known.receiving += times
    if (writer === null) return
    const all = (bytesOfWriters.get(writer) ?? 0) + times * bytes
    if (all > 0) bytesOfWriters.set(writer, all)
    else bytesOfWriters.delete(writer)
  }

  async function measure() {
    Object.assign(known, { texts: 0, bytes: 0, receiving: countReceiving.get()?.n ?? 0 })
    bytesOfWriters.clear()
    for (let after = Number.MIN_SAFE_INTEGER; ; await new Promise(setImmediate)) {
      const end = performance.now() + TURN
      do {
        const next = measureNext.all({ after })
        for (const text of next) add({ ...text, isReceiving: false }, 1)
        const last = next.at(-1)
        if (!last) return
        after = last.id
      } while (performance.now() < end)
    }
  }

  return {
    known,

    /** What there would be with a text more. */
    with: ({ writer, bytes }: Counted) => ({
      texts: known.texts + 1,
      bytes: known.bytes + bytes,
      bytesOfWriter: writer === null ? 0 : (bytesOfWriters.get(writer) ?? 0) + bytes,
    }),

    /**
     * Resolves once it is known. Millions of texts take half a second to measure, in which a server that starts answers
     * loads already. Whatever changes texts waits for it.
     */
    measured(): Promise<void> {
      measuring ??= measure().catch((error) => {
        measuring = undefined
        throw damage.explain(error)
      })
      return measuring
    },

    add: (text: Counted) => add(text, 1),
    remove: (text: Counted) => add(text, -1),
  }
}
