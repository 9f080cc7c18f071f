/** Guessing: what counts as a miss, whose misses add up, and who may look up no more. */
import { LRUCache } from 'lru-cache'
import { networksOf } from './client.ts'
import type { Counters, Limit, LimitEvent } from './db/counters.ts'
import { CODES } from './db/store.ts'
import { duration, Refusal } from './errors.ts'
import { DAY, events, HOUR, longestWait, longestWaitAfter, MINUTE, refuseWhile, take } from './limits.ts'

/** How long a client that misses too often is refused: for the first time within a day, the second, and each further one. */
const LOCKS = [HOUR, 4 * HOUR, DAY]

/**
 * A client has this many hours' misses in a day, whether or not some are taken back, and a network this many hours' of
 * its own: they bound who guesses slowly, just below the limit of an hour.
 */
const HOURS_A_DAY = 3
const NETWORK_HOURS_A_DAY = 2

/**
 * A network that is over its misses refuses clients with a miss of their own in a day alone, so that nobody locks out a
 * carrier's customers. Those without one may miss this share of a client's misses in a day, all together that are in the
 * same part of the network: more come only from whoever has many addresses there, and then it refuses all of that part.
 */
const FIRST_MISSES = 1 / 10

/** Of one client and code a miss counts once in this time: asking again tells nothing. */
const COUNTED_ONCE = 10 * MINUTE

/** Clients whose misses are remembered, and how many of each. */
const REMEMBERED = 20_000
const REMEMBERED_MISSES = 100

/** Strangers' texts that guessing may find in a day, all clients together, before everyone's misses become fewer. */
const FOUND_A_DAY = 1
/** The least share of its misses that a client keeps, however much guessing there is: 3 of 20. */
const LEAST_SHARE = 3 / 20

/** All clients' misses are counted in parts of the last hour, so that they are not forgotten all at once. */
const PART = 10 * MINUTE
const PARTS = HOUR / PART
const everybody: Limit = { name: 'all-misses', max: Number.MAX_SAFE_INTEGER, window: HOUR + PART }
const locks: Limit = { name: 'miss-locks', max: Number.MAX_SAFE_INTEGER, window: DAY }

/** The limit in words. */
export const describeMisses = (perHour: number) =>
  `${perHour} codes without a text asked for in an hour, and ${HOURS_A_DAY * perHour} in a day, fewer while there is much ` +
  `guessing; then none for ${LOCKS.map((lock) => duration(lock / 1000)).join(', the next time within a day for ')}`

/**
 * The misses of all clients. A client may make `perHour` of them, 0 for no limit.
 * @param living how many texts there are: the more, the more of them guessing finds
 */
export function createMisses(perHour: number, now: () => number, counters: Counters, living: () => number) {
  /** By client: when each code was counted, the last at the end. */
  const remembered = new LRUCache<string, Map<string, number>>({ max: REMEMBERED })

  let share = 1
  let shareUntil = 0
  /** The events of the clients seen last, while the share is what it is: few, since of many that come once they would be all the memory. */
  const made = new LRUCache<string, { own: LimitEvent[]; networks: { together: LimitEvent[]; first: LimitEvent[] }[] }>(
    { max: 100 },
  )

  /**
   * Renews the share of its misses that a client has: all of them, until those of the last hour, all clients together,
   * would find more than `FOUND_A_DAY`; then the fewer the more.
   */
  function renewShare(now: number) {
    if (now < shareUntil && now > shareUntil - MINUTE) return
    const part = Math.floor(now / PART)
    const parts = Array.from({ length: PARTS + 1 }, (_, ago): [Limit, string] => [everybody, `${part - ago}`])
    const lately = counters.known(events(...parts), now).reduce((sum, { count }) => sum + count, 0)
    const foundADay = (24 * lately * living()) / CODES
    const before = share
    share = Math.max(LEAST_SHARE, Math.min(1, FOUND_A_DAY / foundADay))
    shareUntil = now + 1000
    if (share !== before) made.clear()
  }

  const limit = (name: string, window: number, times: number): Limit => ({
    ...{ name, window },
    max: perHour && Math.max(1, Math.round(perHour * times * share)),
  })

  /** What `client` is counted by, for itself (the hour first) and with each network above it; who misses for the first time is counted apart. */
  function eventsOf(client: string, now: number) {
    renewShare(now)
    const known = made.get(client)
    if (known) return known
    const own = events([limit('misses', HOUR, 1), client], [limit('day-misses', DAY, HOURS_A_DAY), client])
    for (const { limit } of own) limit.longestLock = DAY
    const networks = networksOf(client).map(({ name, clients, part }) => ({
      together: events(
        [limit('network-misses', HOUR, clients), name],
        [limit('network-day-misses', DAY, NETWORK_HOURS_A_DAY * clients), name],
      ),
      first: events([limit('first-misses', DAY, (FIRST_MISSES * clients) / 10), part]),
    }))
    const all = { own, networks }
    made.set(client, all)
    return all
  }

  /** Milliseconds that a client must wait before it may look anything up, as far as this process knows. */
  function waitOf(client: string): number {
    const at = now()
    const { own, networks } = eventsOf(client, at)
    const known = (events: LimitEvent[]) => counters.known(events, at)
    const counts = known(own)
    let wait = longestWait(own, counts, at)
    for (const { together, first } of networks) {
      const full = longestWait(together, known(together), at)
      if (full === 0) continue
      const hasMissed = (counts[1]?.count ?? 0) > 0
      wait = Math.max(wait, hasMissed ? full : Math.min(full, longestWait(first, known(first), at)))
    }
    return wait
  }

  /**
   * Counts a miss. Throws the refusal `too_many_misses` where it is one too many: of a burst that was admitted as a
   * whole, as many are told as would have been one by one.
   */
  async function count(client: string, code: string, message?: string) {
    const missed = remembered.get(client) ?? new Map<string, number>()
    const before = missed.get(code)
    if (perHour === 0 || (before !== undefined && Math.abs(now() - before) < COUNTED_ONCE)) return
    const [oldest] = missed.keys()
    if (oldest !== undefined && missed.size >= REMEMBERED_MISSES) missed.delete(oldest)
    missed.delete(code)
    missed.set(code, now())
    remembered.set(client, missed)

    const at = now()
    const lockEvent = events([locks, client])
    // Nothing is awaited before it is counted: the next of a burst finds it counted.
    const [locked] = counters.known(lockEvent, at)
    const { own: unlocked, networks } = eventsOf(client, at)
    const lock = LOCKS[Math.min(locked?.count ?? 0, LOCKS.length - 1)]
    const own = unlocked.map((event, i) => (i === 0 ? { ...event, limit: { ...event.limit, lock } } : event))
    const counted = [...own, ...networks.flatMap(({ together }) => together)]
    const counts = await counters.add(counted, at)
    const hadMissed = (counts[1]?.count ?? 0) > 1
    const isFull = (events: LimitEvent[]) =>
      longestWaitAfter(events, counts.slice(events[0] && counted.indexOf(events[0])), at)
    let wait = isFull(own)
    const firsts: LimitEvent[] = []
    for (const { together, first } of networks) {
      const full = isFull(together)
      if (full > 0 && hadMissed) wait = Math.max(wait, full)
      else if (full > 0) firsts.push(...first)
    }
    if (wait === 0) wait = Math.max(0, ...(await take(counters, firsts, at)).map((full) => full.wait))
    if (wait > 0) {
      missed.delete(code)
      await counters.subtract(counted, at)
      refuseWhile(wait, 'too_many_misses', message)
    }
    const isLocking = counts[0]?.count === own[0]?.limit.max
    await counters.add([...events([everybody, `${Math.floor(at / PART)}`]), ...(isLocking ? lockEvent : [])], at)
    shareUntil = 0
  }

  /** Refuses a look-up, on whichever route, where that is known without asking: before anything is looked up. */
  const refuseLookUp = (client: string, message?: string) => refuseWhile(waitOf(client), 'too_many_misses', message)

  return {
    refuseLookUp,

    /** Admits a look-up that has found something: to be asked before anybody is told of it. */
    async admitLookUp(client: string, message?: string) {
      if (counters.read !== counters.known) {
        const at = now()
        const { own, networks } = eventsOf(client, at)
        // What this process knows is of now, once it has asked.
        await counters.read([...own, ...networks.flatMap(({ together, first }) => [...together, ...first])], at)
      }
      refuseLookUp(client, message)
    },

    /** Counts a look-up that found nothing; returns the refusal to answer it with. */
    async miss(client: string, code: string, message?: string): Promise<Refusal> {
      await count(client, code)
      return new Refusal('not_found', { message })
    },

    /** Counts a write key that is none of this server's: the same one once within ten minutes. */
    countWrongKey: count,

    /** Counts, until its password is right, what told no more of a text than that it is there. */
    countGlimpse: count,

    /**
     * Takes back what was counted in the last hour for a code before its text was given: for want of its password, or
     * for a letter and capitals that were wrong. Those stay counted for the day: a writer would otherwise have free
     * guesses around each own code.
     */
    async forgive(client: string, code: string, hasPassword: boolean) {
      const missed = remembered.size > 0 && remembered.get(client)
      if (!missed) return
      const at = now()
      let [glimpses, mistyped] = [0, 0]
      for (const [other, missedAt] of missed) {
        if (!isAlmost(other, code)) continue
        missed.delete(other)
        if (at - missedAt >= HOUR) continue
        if (other !== code) mistyped++
        else if (hasPassword) glimpses++
      }
      const { own, networks } = eventsOf(client, at)
      const all = [...own, ...networks.flatMap(({ together }) => together)]
      const forgiven = all.map((event) => ({
        ...event,
        amount: event.limit.window === HOUR ? mistyped + glimpses : glimpses,
      }))
      await counters.subtract(
        forgiven.filter(({ amount }) => amount > 0),
        at,
      )
    },
  }
}

/** Whether two codes have the same letters but for one, capitals aside. */
function isAlmost(one: string, other: string): boolean {
  const letters = other.toLowerCase()
  return [...one.toLowerCase()].filter((letter, at) => letter !== letters[at]).length <= 1
}
