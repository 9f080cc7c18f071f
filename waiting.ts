/** Those who wait for a text: woken when it comes, let go after a while, so that no proxy takes the silence for an end. */
import type { Store } from './db/store.ts'
import { Refusal } from './errors.ts'

/** Milliseconds that a wait takes at the longest; some take a fifth less, or those of a restart would all come again at once. */
const LONGEST = 25_000

/** Waits under one code, of which the oldest is let go: a receiver has one, or two for a moment. */
const WAITS_OF_CODE = 4

/** Milliseconds between two times that another server is known to have filled in a text. */
const ASKED = 300

let held = 0

/** How many requests wait for a text. */
export const waits = () => held

export type Waiting = ReturnType<typeof createWaiting>

export function createWaiting(store: Store, longest = LONGEST) {
  /** By code: what lets each wait go, the oldest first. */
  const waiters = new Map<string, Set<() => void>>()
  let timer: Timer | undefined
  let isOver = false

  function wake(code: string) {
    for (const letGo of waiters.get(code) ?? []) letGo()
  }

  /** Asks again and again, where other servers fill in texts, as long as anybody waits here. */
  function ask() {
    if (!store.settled || timer || waiters.size === 0) return
    timer = setTimeout(async () => {
      const settled = await store.settled?.([...waiters.keys()]).catch(() => [])
      for (const code of settled ?? []) wake(code)
      timer = undefined
      ask()
    }, ASKED).unref()
  }

  return {
    wake,

    /**
     * Resolves when `wake` is called for `code`, when `signal` aborts, or after a while.
     * @param most milliseconds after which it is over in any case
     * @param isSettled asked once whoever settles it from now on will wake this
     */
    async until(code: string, most: number, signal: AbortSignal, isSettled: () => Promise<boolean>) {
      if (isOver) throw new Refusal('busy', { message: 'The server is stopping.', retryAfter: 5 })
      if (signal.aborted) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const ofCode = waiters.get(code) ?? new Set()
      waiters.set(code, ofCode)
      ofCode.add(resolve)
      if (ofCode.size > WAITS_OF_CODE) for (const oldest of [...ofCode].slice(0, -WAITS_OF_CODE)) oldest()
      const over = setTimeout(resolve, Math.min(most, longest * (1 - Math.random() / 5)))
      signal.addEventListener('abort', () => resolve())
      held++
      ask()
      try {
        if (!(await isSettled())) await promise
      } finally {
        held--
        clearTimeout(over)
        ofCode.delete(resolve)
        // Another may have begun under the code since.
        if (ofCode.size === 0 && waiters.get(code) === ofCode) waiters.delete(code)
      }
    },

    /** Lets all go, and those that come. */
    end() {
      isOver = true
      for (const code of waiters.keys()) wake(code)
    },

    get isOver() {
      return isOver
    },
  }
}
