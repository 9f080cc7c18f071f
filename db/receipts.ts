/** Counts loads for the receipts: in memory first, so that no load pays a commit of its own. */
import type { Awaitable } from './counters.ts'
import type { LentText, Receipt } from './store.ts'

/** Milliseconds after which what was counted is stored: what a crash loses. */
const KEPT_IN_MEMORY = 2000

/** Receipts that are kept, those that end last: what bounds their table to some 30 MB. */
export const KEPT_RECEIPTS = 200_000

const sum = (one: Receipt, other: Receipt): Receipt => ({
  ...one,
  loads: one.loads + other.loads,
  lastLoadedAt: Math.max(one.lastLoadedAt ?? 0, other.lastLoadedAt ?? 0) || null,
})

/**
 * @param add adds what was counted to the receipts that are stored
 * @param find the stored receipt of a text that would not have expired yet
 */
export function createReceipts(
  add: (counted: Receipt[]) => Promise<void>,
  find: (eraseTokenHash: Buffer, now: number) => Awaitable<Receipt | undefined>,
) {
  let counted = new Map<string, Receipt>()
  let timer: Timer | undefined
  let storing: Promise<void> = Promise.resolve()

  function count(receipt: Receipt) {
    const key = receipt.eraseTokenHash.toString('latin1')
    const known = counted.get(key)
    if (!known && counted.size >= KEPT_RECEIPTS) return
    counted.set(key, known ? sum(known, receipt) : receipt)
    timer ??= setTimeout(() => void store().catch(() => {}), KEPT_IN_MEMORY).unref()
  }

  function store(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    const all = [...counted.values()]
    counted = new Map()
    storing = storing
      .then(() => add(all))
      .catch((error) => {
        for (const receipt of all) count(receipt) // The next time, then.
        throw error
      })
    const stored = storing
    storing = storing.catch(() => {})
    return stored
  }

  return {
    countLoad: ({ eraseTokenHash, expiresAt }: LentText, now: number) =>
      count({ eraseTokenHash, loads: 1, lastLoadedAt: now, expiresAt }),

    async receipt(eraseTokenHash: Buffer, now: number): Promise<Receipt | undefined> {
      await storing
      const stored = await find(eraseTokenHash, now)
      const recent = counted.get(eraseTokenHash.toString('latin1'))
      const all = stored && recent ? sum(stored, recent) : (stored ?? recent)
      return all && all.expiresAt > now ? all : undefined
    },

    /** Stores what was counted. */
    store,
  }
}
