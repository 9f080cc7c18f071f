/** Counts towards limits: what a count is, and the counters of one process. */
import { LRUCache } from 'lru-cache'

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
}

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

/** The counters of this process. */
export function createCounters() {
  const ofLimit = new Map<string, LRUCache<string, Count>>()

  function countsOf({ name }: Limit) {
    const counts = ofLimit.get(name) ?? new LRUCache<string, Count>({ max: REMEMBERED_KEYS })
    ofLimit.set(name, counts)
    return counts
  }

  function current({ limit, key }: LimitEvent, now: number): Count {
    const entry = countsOf(limit).get(key)
    // One that ends later than any can was counted before the clock was set back.
    const longest = Math.max(limit.window, limit.lock ?? 0)
    return entry && entry.endsAt > now && entry.endsAt <= now + longest
      ? entry
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
    forget: ({ limit, key }: LimitEvent) => void countsOf(limit).delete(key),
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
