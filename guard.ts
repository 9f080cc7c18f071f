/** How much is too much: every limit, and who is refused by it. */
import type { Context } from 'elysia-rate-limit'
import { siteOf } from './client.ts'
import { type Count, type Counters, createCounters, type Limit, type LimitEvent } from './db/counters.ts'
import { type ErrorCode, Refusal } from './errors.ts'
import type { Settings } from './settings.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Wrong passwords that one client may try on one text within ten minutes: a forgetful person, not a dictionary. */
const PASSWORDS_PER_CLIENT: Limit = { name: 'passwords', max: 5, window: 10 * MINUTE, lock: 30 * MINUTE }
/** The same for all clients together: many addresses must not add up, and the lock is short since it shuts out the recipient too. */
const PASSWORDS_PER_TEXT: Limit = { name: 'text-passwords', max: 50, window: 10 * MINUTE, lock: 10 * MINUTE }

/** Passwords that wait for others of their texts, all texts together: a large class. */
const MAX_WAITING_PASSWORDS = 64

/**
 * How many times a client's misses an IPv6 /48 may have: it is what one site is given (RFC 6177), and its 65,536 clients
 * would otherwise guess every code within hours.
 */
const CLIENTS_PER_SITE = 10

/** Milliseconds until there is room for each of `events` beside what is counted. */
const longestWait = (events: LimitEvent[], counts: Readonly<Count>[], now: number) =>
  Math.max(
    0,
    ...events.map(({ limit, amount }, at) => {
      const { count = 0, endsAt = 0 } = counts[at] ?? {}
      return count + amount > limit.max ? endsAt - now : 0
    }),
  )

/** The counts of elysia-rate-limit. `admit` throws the refusal, so that it is answered like every other. */
const rateLimitContext = (admit: (client: string) => Readonly<Count>): Context => ({
  init() {},
  increment(client) {
    const { count, endsAt } = admit(client)
    return { count, nextReset: new Date(endsAt), start: 0 }
  },
  decrement() {},
  reset() {},
  kill() {},
})

/** @param milliseconds 0 refuses nothing */
function refuseWhile(milliseconds: number, reason: ErrorCode, message?: string) {
  if (milliseconds > 0) throw new Refusal(reason, { retryAfter: Math.ceil(milliseconds / 1000), message })
}

export type Guard = ReturnType<typeof createGuard>

const perClient = (max: number, what: string) => (max > 0 ? [`- ${max} ${what} per client`] : [])

/** The limits as Markdown, for the API's description. */
export const describeLimits = (settings: Settings): string =>
  [
    'A client is an IPv4 address or an IPv6 /64. What is over a limit is answered with 429 and `Retry-After`.',
    '',
    ...perClient(settings.REQUESTS_PER_MINUTE, 'requests a minute'),
    ...perClient(settings.WRITES_PER_MINUTE, 'texts written a minute'),
    ...perClient(settings.WRITE_BYTES_PER_DAY, 'bytes written a day'),
    ...perClient(
      settings.MISSES_PER_HOUR,
      `codes without a text asked for in an hour (${CLIENTS_PER_SITE} times as many per IPv6 /48), then none for an hour`,
    ),
    ...perClient(PASSWORDS_PER_CLIENT.max, 'wrong passwords for a text in 10 minutes, then none for 30 minutes'),
    `- ${PASSWORDS_PER_TEXT.max} wrong passwords for a text from all clients in 10 minutes, then none for 10 minutes`,
    `- ${settings.MAX_TEXT_BYTES} bytes per text, ${settings.MAX_STORED_BYTES} bytes for all texts together, a tenth of that for those of one network`,
    `- ${settings.MAX_TEXTS} texts together`,
  ].join('\n')

/**
 * All limits of one server, by the clock `now`. The methods that refuse throw a `Refusal`. Requests are counted by each
 * server for itself, since what protects a server from a flood must cost less than the flood; all else in `counters`.
 */
export function createGuard(settings: Settings, now: () => number, counters: Counters = createCounters()) {
  const requests: Limit = { name: 'requests', max: settings.REQUESTS_PER_MINUTE, window: MINUTE }
  const writes: Limit = { name: 'writes', max: settings.WRITES_PER_MINUTE, window: MINUTE }
  const bytes: Limit = { name: 'bytes', max: settings.WRITE_BYTES_PER_DAY, window: DAY }
  const misses: Limit = { name: 'misses', max: settings.MISSES_PER_HOUR, window: HOUR, lock: HOUR }
  const siteMisses: Limit = { ...misses, name: 'site-misses', max: CLIENTS_PER_SITE * settings.MISSES_PER_HOUR }
  const ownRequests = createCounters()
  /** Passwords that are being verified, by the keys of both limits. */
  const verifying = new Map<string, number>()
  let waiting = 0
  let verified = Promise.withResolvers<void>()

  /** The events whose limit is not turned off. */
  const events = (...all: [limit: Limit, key: string | undefined, amount?: number][]): LimitEvent[] =>
    all.flatMap(([limit, key, amount = 1]) => (limit.max > 0 && key !== undefined ? [{ limit, key, amount }] : []))

  /** Counts the events, or none of them where one has no room: returns those, with how long each has to wait. */
  async function take(taken: LimitEvent[]): Promise<{ limit: Limit; wait: number }[]> {
    if (taken.length === 0) return []
    const at = now()
    const counts = await counters.add(taken, at)
    const full = taken.flatMap(({ limit }, i) => {
      const { count = 0, endsAt = 0 } = counts[i] ?? {}
      return count > limit.max ? [{ limit, wait: endsAt - at }] : []
    })
    if (full.length > 0) await counters.subtract(taken, at)
    return full
  }

  /** Admits a request, and counts it. */
  function admitRequest(client: string): Readonly<Count> {
    const [request] = events([requests, client])
    if (!request) return { count: 0, endsAt: now() + MINUTE }
    refuseWhile(longestWait([request], ownRequests.known([request], now()), now()), 'too_many_requests')
    return ownRequests.add([request], now())[0] as Count
  }

  const lookUp = (client: string) => events([misses, client], [siteMisses, siteOf(client)])

  return {
    admitRequest,

    /** For elysia-rate-limit, which asks before every handler. */
    requests: rateLimitContext(admitRequest),

    /** Admits a write of `size` bytes, and counts it. */
    async admitWrite(client: string, size: number) {
      const [full] = await take(events([writes, client], [bytes, client, size]))
      if (full?.limit === bytes) refuseWhile(full.wait, 'too_many_bytes')
      if (full) refuseWhile(full.wait, 'too_many_requests', 'Too many texts were written from your network address.')
    },

    /** Takes back the bytes of a write that was admitted and then failed. */
    async uncountBytes(client: string, size: number) {
      await counters.subtract(events([bytes, client, size]), now())
    },

    /** Refuses a look-up, on whichever route, where that is known without asking: before anything is looked up. */
    refuseLookUp(client: string) {
      const looked = lookUp(client)
      if (looked.length > 0) {
        refuseWhile(longestWait(looked, counters.known(looked, now()), now()), 'too_many_misses')
      }
    },

    /** Admits a look-up that has found something: to be asked before anybody is told of it. */
    async admitLookUp(client: string) {
      const looked = lookUp(client)
      if (looked.length > 0) {
        refuseWhile(longestWait(looked, await counters.read(looked, now()), now()), 'too_many_misses')
      }
    },

    /** Counts a look-up that found nothing; returns the refusal to answer it with. */
    async miss(client: string): Promise<Refusal> {
      // Of a burst that was admitted as a whole, as many are told as would have been one by one.
      refuseWhile(Math.max(0, ...(await take(lookUp(client))).map(({ wait }) => wait)), 'too_many_misses')
      return new Refusal('not_found')
    },

    /**
     * Returns only if `verify` finds the password right. The limits are asked before `verify` runs. A burst of wrong
     * passwords gets no more hashes than they would singly, and a class that knows the password and loads a text at
     * once is let through: what might exceed a limit waits for those under way, or is refused as `busy`.
     * @param text what tells this text from every other, past and future
     */
    async checkPassword(text: string, client: string, verify: () => Promise<boolean>) {
      const both = `${client} ${text}`
      const tries = events([PASSWORDS_PER_CLIENT, both], [PASSWORDS_PER_TEXT, text])
      const refuseLocked = (counts: Readonly<Count>[]) =>
        refuseWhile(longestWait(tries, counts, now()), 'too_many_passwords')
      for (;;) {
        const counts = await counters.read(tries, now())
        refuseLocked(counts)
        // All those under way might yet prove wrong.
        const hasRoom = tries.every(
          ({ limit, key }, at) => (counts[at]?.count ?? 0) + (verifying.get(key) ?? 0) < limit.max,
        )
        if (hasRoom) break
        if (waiting >= MAX_WAITING_PASSWORDS) throw new Refusal('busy', { retryAfter: 3 })
        waiting++
        await verified.promise
        waiting--
      }
      for (const key of [both, text]) verifying.set(key, (verifying.get(key) ?? 0) + 1)
      let left: number
      try {
        if (await verify()) {
          // Meanwhile other machines may have counted wrong ones: of a burst over all of them, no more are told.
          refuseLocked(await counters.read(tries, now()))
          const [own] = tries
          if (own) await counters.forget(own)
          return
        }
        const [own] = await counters.add(tries, now())
        left = Math.max(0, PASSWORDS_PER_CLIENT.max - (own?.count ?? 0))
      } finally {
        for (const key of [both, text]) {
          const others = (verifying.get(key) ?? 1) - 1
          if (others > 0) verifying.set(key, others)
          else verifying.delete(key)
        }
        verified.resolve()
        verified = Promise.withResolvers()
      }
      throw new Refusal('wrong_password', { triesLeft: left, message: `The password is wrong. Tries left: ${left}.` })
    },
  }
}
