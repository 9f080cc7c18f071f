/** How much is too much: every limit, and who is refused by it. */
import { rateLimit } from 'elysia-rate-limit'
import { networksOf } from './client.ts'
import { type Count, type Counters, createCounters, type Limit, type LimitEvent } from './db/counters.ts'
import { duration, Refusal } from './errors.ts'
import { DAY, events, longestWait, longestWaitAfter, MINUTE, refuseWhile, take } from './limits.ts'
import { createMisses, describeMisses } from './misses.ts'
import { hasTurn } from './password.ts'
import type { Settings } from './settings.ts'

/** Wrong passwords that one client may try on one text within ten minutes: a forgetful person, not a dictionary. */
const PASSWORDS_PER_CLIENT: Limit = { name: 'passwords', max: 5, window: 10 * MINUTE, lock: 30 * MINUTE }
/** The same for a network: twice as much, so that its many clients do not add up to the lock that shuts out the recipient. */
const PASSWORDS_PER_NETWORK: Limit = { name: 'network-passwords', max: 10, window: 10 * MINUTE, lock: 30 * MINUTE }
/** The same for all clients together: many addresses must not add up, and the lock is short since it shuts out the recipient too. */
const PASSWORDS_PER_TEXT: Limit = { name: 'text-passwords', max: 50, window: 10 * MINUTE, lock: 10 * MINUTE }

/** Passwords that wait for others of their texts, all texts together: a large class. */
const MAX_WAITING_PASSWORDS = 64

/** How many times a client's bytes a network may write in a day, where `Network.clients` says how many clients it counts for. */
const BYTES_OF_NETWORK = 4 / 10

/** Codes that one client may wait under at a time, each for as long as it waits at most. */
const RECEIVING_PER_CLIENT = 5
export const RECEIVING_TIME = 10 * MINUTE

/** How many times a person's requests the page, its assets, /health and preflights may be: they cost little. */
const ASSETS = 10

/** What counts a request towards a limit, and throws the refusal where there is no room. */
export interface Admission {
  max: number
  admit(client: string): Readonly<Count>
}

/** elysia-rate-limit for the routes behind it, counting in our counters. The refusal is thrown, and so answered like every other. */
export const createLimiter = ({ max, admit }: Admission, who: (request: Request) => string) =>
  rateLimit({
    duration: MINUTE,
    max: max || Number.MAX_SAFE_INTEGER,
    generator: who,
    headers: false,
    countFailedRequest: true,
    scoping: 'scoped',
    context: {
      init() {},
      increment(client) {
        const { count, endsAt } = admit(client)
        return { count, nextReset: new Date(endsAt), start: 0 }
      },
      decrement() {},
      reset() {},
      kill() {},
    },
  })

const TOO_MANY_WAIT = `Your network address waits for ${RECEIVING_PER_CLIENT} texts already.`

export type Guard = ReturnType<typeof createGuard>

const passwords = (who: string, { max, window, lock = window }: Limit) =>
  `- ${max} wrong passwords for a text ${who} in ${duration(window / 1000)}, then none for ${duration(lock / 1000)}`

/** The limits as Markdown, for the API's description. */
export const describeLimits = (settings: Settings): string =>
  [
    'A client is an IPv4 address or an IPv6 /64. What is over a limit is answered with 429 and `Retry-After`. The network',
    'of a client, an IPv4 /24 or an IPv6 /48, has ten times as much, and an IPv6 /32 ten times that.',
    '',
    ...perClient(settings.REQUESTS_PER_MINUTE, `${settings.REQUESTS_PER_MINUTE} requests a minute`),
    ...perClient(settings.WRITES_PER_MINUTE, `${settings.WRITES_PER_MINUTE} texts written a minute`),
    ...perClient(settings.WRITES_PER_MINUTE, `${RECEIVING_PER_CLIENT} codes that wait for a text`),
    ...perClient(
      settings.WRITE_BYTES_PER_DAY,
      `${settings.WRITE_BYTES_PER_DAY} bytes written a day, and ${10 * BYTES_OF_NETWORK} times that per network`,
    ),
    ...perClient(settings.MISSES_PER_HOUR, describeMisses(settings.MISSES_PER_HOUR)),
    passwords('per client', PASSWORDS_PER_CLIENT),
    passwords('per network', PASSWORDS_PER_NETWORK),
    passwords('from all clients', PASSWORDS_PER_TEXT),
    `- ${settings.MAX_TEXT_BYTES} bytes per text, ${settings.MAX_STORED_BYTES} bytes for all texts together, a tenth of that for those of one network`,
    `- ${settings.MAX_TEXTS} texts together, and a tenth of that of codes that wait for one`,
  ].join('\n')

const perClient = (max: number, what: string) => (max > 0 ? [`- ${what} per client`] : [])

/**
 * All limits of one server, by the clock `now`. The methods that refuse throw a `Refusal`. Requests are counted by each
 * server for itself, since what protects a server from a flood must cost less than the flood; all else in `counters`.
 * @param living how many texts there are, roughly: the more, the more of them guessing finds
 */
export function createGuard(
  settings: Settings,
  now: () => number,
  counters: Counters = createCounters(),
  living: () => number = () => 0,
) {
  const receiving: Limit = { name: 'receiving', max: settings.WRITES_PER_MINUTE && 1, window: RECEIVING_TIME }
  const requests: Limit = { name: 'requests', max: settings.REQUESTS_PER_MINUTE, window: MINUTE }
  const assets: Limit = { name: 'assets', max: ASSETS * settings.REQUESTS_PER_MINUTE, window: MINUTE }
  const writes: Limit = { name: 'writes', max: settings.WRITES_PER_MINUTE, window: MINUTE }
  const bytes: Limit = { name: 'bytes', max: settings.WRITE_BYTES_PER_DAY, window: DAY }
  const ownRequests = createCounters()
  /** Passwords that are being verified, by the keys of their limits. */
  const verifying = new Map<string, number>()
  let waiting = 0
  let verified = Promise.withResolvers<void>()

  /** The event for a client, and for each network above it `share` times as many as it counts clients for. */
  const upwards = (limit: Limit, client: string, amount: number, share = 1) =>
    events(
      [limit, client, amount],
      ...networksOf(client).map(({ name, clients }): [Limit, string, number] => [
        { ...limit, max: limit.max * clients * share },
        name,
        amount,
      ]),
    )

  /** Admits an event that this server counts for itself, and counts it. */
  function admit(limit: Limit, client: string): Readonly<Count> {
    const at = now()
    if (limit.max === 0) return { count: 0, endsAt: at + MINUTE }
    const event = [{ limit, key: client, amount: 1 }]
    const counts = ownRequests.add(event, at)
    const wait = longestWaitAfter(event, counts, at)
    if (wait > 0) ownRequests.subtract(event, at)
    refuseWhile(wait, 'too_many_requests')
    return counts[0] as Count
  }

  const receivingOf = (client: string) =>
    events(...Array.from({ length: RECEIVING_PER_CLIENT }, (_, at): [Limit, string] => [receiving, `${client} ${at}`]))

  return {
    ...createMisses(settings.MISSES_PER_HOUR, now, counters, living),

    /** Admits a request, and counts it. */
    admitRequest: (client: string) => admit(requests, client),

    /** Admits a preflight, and counts it among the assets. */
    admitAsset: (client: string) => admit(assets, client),

    /** For the routes that a person asks; and for the page, what it is made of, and /health. */
    requests: { max: requests.max, admit: (client) => admit(requests, client) } satisfies Admission,
    assets: { max: assets.max, admit: (client) => admit(assets, client) } satisfies Admission,

    /** Admits a write of `size` bytes, and counts it. */
    async admitWrite(client: string, size: number) {
      const [full] = await take(
        counters,
        [...upwards(writes, client, 1), ...upwards(bytes, client, size, BYTES_OF_NETWORK)],
        now(),
      )
      if (full?.limit.name === bytes.name) refuseWhile(full.wait, 'too_many_bytes')
      if (full) refuseWhile(full.wait, 'too_many_requests', 'Too many texts were written from your network address.')
    },

    /**
     * Admits a code that waits, as one of the few of its client. Each has a window of its own, so that the count is of those
     * that wait now. Returns when it is over, in milliseconds since 1970, by which `endReceiving` knows it. Whoever finds a
     * window taken leaves it counted: `endReceiving` empties it, and to take back what it has emptied would admit one more.
     */
    async admitReceiving(client: string): Promise<number> {
      const at = now()
      let wait = Number.POSITIVE_INFINITY
      for (const event of receivingOf(client)) {
        const [counted] = await counters.add([event], at)
        if (!counted || counted.count <= 1) return counted?.endsAt ?? at + RECEIVING_TIME
        wait = Math.min(wait, counted.endsAt - at)
      }
      if (wait < Number.POSITIVE_INFINITY) refuseWhile(wait, 'too_many_requests', TOO_MANY_WAIT)
      return at + RECEIVING_TIME
    },

    /** Lets the client wait under another code. */
    async endReceiving(client: string, endsAt: number) {
      const events = receivingOf(client)
      const counts = await counters.read(events, now())
      const [event] = events.filter((_, at) => counts[at]?.endsAt === endsAt && counts[at].count > 0)
      if (event) await counters.forget(event)
    },

    /** Takes back the bytes of a write that was admitted and then failed. */
    async uncountBytes(client: string, size: number) {
      await counters.subtract(upwards(bytes, client, size, BYTES_OF_NETWORK), now())
    },

    /**
     * Returns only if `verify` finds the password right. The limits are asked before `verify` runs. A burst of wrong
     * passwords gets no more hashes than they would singly, and a class that knows the password and loads a text at
     * once is let through: what might exceed a limit waits for those under way, or is refused as `busy`.
     * @param text what tells this text from every other, past and future
     * @param isCostly whether `verify` hashes, for which a client has a share of the turns
     */
    async checkPassword(text: string, client: string, verify: () => Promise<boolean>, isCostly = true) {
      const tries = events(
        [PASSWORDS_PER_CLIENT, `${client} ${text}`],
        [PASSWORDS_PER_TEXT, text],
        ...networksOf(client).map(({ name }): [Limit, string] => [PASSWORDS_PER_NETWORK, `${name} ${text}`]),
      )
      const [own] = tries as [LimitEvent]
      /** A network refuses only clients that have tried a wrong one themselves: its others may know the right one. */
      const binds = (counts: readonly Readonly<Count>[]) =>
        tries.filter(({ limit }) => limit !== PASSWORDS_PER_NETWORK || (counts[0]?.count ?? 0) > 0)
      const refuseLocked = (counts: readonly Readonly<Count>[]) =>
        refuseWhile(longestWait(binds(counts), counts, now()), 'too_many_passwords')
      for (;;) {
        const counts = await counters.read(tries, now())
        refuseLocked(counts)
        // All those under way might yet prove wrong.
        const hasRoom = binds(counts).every(
          ({ limit, key }, at) => (counts[at]?.count ?? 0) + (verifying.get(key) ?? 0) < limit.max,
        )
        if (hasRoom && (!isCostly || hasTurn(client))) break
        if (waiting >= MAX_WAITING_PASSWORDS) throw new Refusal('busy', { retryAfter: 3 })
        waiting++
        await verified.promise
        waiting--
      }
      for (const { key } of tries) verifying.set(key, (verifying.get(key) ?? 0) + 1)
      let left: number
      try {
        if (await verify()) {
          // Meanwhile other machines may have counted wrong ones: of a burst over all of them, no more are told.
          refuseLocked(await counters.read(tries, now()))
          await counters.forget(own)
          return
        }
        const [counted] = await counters.add(tries, now())
        left = Math.max(0, PASSWORDS_PER_CLIENT.max - (counted?.count ?? 0))
      } finally {
        for (const { key } of tries) {
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
