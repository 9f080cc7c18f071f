/** Counts towards limits: what a count is, and the counters of one process. */
import { LRUCache } from 'lru-cache'
import { createSketch } from './sketch.ts'

/** Keys that each limit remembers, least recently seen forgotten first: what bounds its memory: measured, 25 MB for all of them full. */
const REMEMBERED_KEYS = 20_000

/** What is counted, and how much of it is too much. */
export interface Limit {
  name: string
  /** How much is admitted in a window; 0 for no limit. */
  max: number
  /** Milliseconds from the first event that counts. */
  window: number
  /** Milliseconds that a key is refused once it has reached `max`; without it, what is left of the window. */
  lock?: number
  /** The longest lock, where `lock` differs from one event to the next. */
  longestLock?: number
}

/** Milliseconds that a count lasts at most. */
const longest = ({ window, lock = 0, longestLock = lock }: Limit) => Math.max(window, longestLock)

/** Something that counts towards a limit. */
export interface LimitEvent {
  limit: Limit
  /** Whom it counts for. */
  key: string
  amount: number
}

export interface Count {
  count: number
  /** Milliseconds since 1970: until when it counts. */
  endsAt: number
}

export type Awaitable<T> = T | Promise<T>

/** Counts per limit and key in fixed windows: in this process, or for all machines together. Each call is atomic per event. */
export interface Counters {
  /** What this process knows of the counts without asking anyone. */
  known(events: LimitEvent[], now: number): Readonly<Count>[]
  /** The counts as they are. */
  read(events: LimitEvent[], now: number): Awaitable<Readonly<Count>[]>
  /** Counts each event, whether or not there is room for it; returns the counts with it. */
  add(events: LimitEvent[], now: number): Awaitable<Readonly<Count>[]>
  /** Takes back what `add` counted. */
  subtract(events: LimitEvent[], now: number): Awaitable<void>
  forget(event: LimitEvent): Awaitable<void>
}

/**
 * The counters of this process. What their bounded memory forgets is kept in a sketch, from which a key that comes back
 * begins: otherwise 20,001 addresses would make each other's guesses forgotten.
 * @param isCopy whether the counts are kept elsewhere, so that nothing is lost with what is forgotten here
 */
export function createCounters(isCopy = false) {
  const sketches = new Map<number, ReturnType<typeof createSketch>>()
  const memories = new Map<string, ReturnType<typeof createMemory>>()
  let lastNow = 0

  function createMemory(limit: Limit) {
    const span = longest(limit)
    const sketch = sketches.get(span) ?? createSketch(span)
    sketches.set(span, sketch)
    // A sketch counts to 65,535: in units, so that the count of a network, a hundred times a client's, is below that.
    const unit = Math.max(1, Math.ceil(limit.max / 200))
    const counts = new LRUCache<string, Count>({
      max: REMEMBERED_KEYS,
      dispose({ count, endsAt }, key, reason) {
        if (isCopy || reason !== 'evict' || count <= 0 || endsAt <= lastNow) return
        sketch.keep(`${limit.name} ${key}`, Math.ceil(count / unit), endsAt, lastNow)
      },
    })
    return { counts, sketch, unit }
  }

  function memoryOf(limit: Limit) {
    const memory = memories.get(limit.name) ?? createMemory(limit)
    memories.set(limit.name, memory)
    return memory
  }

  const countsOf = (limit: Limit) => memoryOf(limit).counts

  function current({ limit, key }: LimitEvent, now: number): Count {
    lastNow = now
    const { counts, sketch, unit } = memoryOf(limit)
    const entry = counts.get(key)
    // A window begins with the first event that counts. One that ends later than any can was counted before the clock was
    // set back.
    if (entry && entry.count > 0 && entry.endsAt > now && entry.endsAt <= now + longest(limit)) return entry
    const kept = entry || isCopy || sketch.isEmpty() ? undefined : sketch.recall(`${limit.name} ${key}`, now)
    return kept
      ? { count: kept.count * unit, endsAt: Math.min(kept.endsAt, now + longest(limit)) }
      : { count: 0, endsAt: now + limit.window }
  }

  const read = (events: LimitEvent[], now: number) => events.map((event) => current(event, now))

  return {
    known: read,
    read,
    add: (events: LimitEvent[], now: number) =>
      events.map((event) => {
        const { limit, key, amount } = event
        const entry = current(event, now)
        const hadRoom = entry.count < limit.max
        entry.count += amount
        if (limit.lock !== undefined && hadRoom && entry.count >= limit.max) entry.endsAt = now + limit.lock
        countsOf(limit).set(key, entry)
        return { ...entry } // As it is now: the entry itself counts on.
      }),
    subtract(events: LimitEvent[], now: number) {
      for (const event of events) current(event, now).count -= event.amount
    },
    // Not deleted, or it would begin anew from the sketch.
    forget: ({ limit, key }: LimitEvent) => void countsOf(limit).set(key, { count: 0, endsAt: lastNow + limit.window }),
    /** Keeps counts that were learned elsewhere; undefined where nothing is counted. */
    set: (events: LimitEvent[], counts: (Count | undefined)[], now: number) =>
      events.map(({ limit, key }, at) => {
        const count = counts[at]
        if (count) countsOf(limit).set(key, count)
        else countsOf(limit).delete(key)
        return count ?? { count: 0, endsAt: now + limit.window }
      }),
  }
}
