/** Who asks, and how much of it is too much: the client's address, and a counter for every limit. */

import type { Server } from 'bun'
import type { Context } from 'elysia-rate-limit'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import { type ErrorCode, Refusal } from './errors.ts'
import type { Settings } from './settings.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Wrong passwords that one client may try on one text within ten minutes: a forgetful person, not a dictionary. */
const PASSWORDS_PER_CLIENT = { max: 5, window: 10 * MINUTE, lock: 30 * MINUTE }
/** The same for all clients together: many addresses must not add up, and the lock is short since it shuts out the recipient too. */
const PASSWORDS_PER_TEXT = { max: 50, window: 10 * MINUTE, lock: 10 * MINUTE }

/** Passwords that wait for others of the same text: a large class. */
const MAX_WAITING_PASSWORDS = 64

/**
 * How many times a client's misses an IPv6 /48 may have: it is what one site is given (RFC 6177), and its 65,536 clients
 * would otherwise guess every code within hours.
 */
const CLIENTS_PER_SITE = 10

/** Clients that each counter remembers, least recently seen forgotten first: what bounds its memory: measured, 25 MB for all of them full. */
const REMEMBERED_CLIENTS = 20_000

/** The clients of the addresses seen last, since parsing an address takes as long as reading a text. */
const clients = new LRUCache<string, string>({ max: REMEMBERED_CLIENTS })

/** What counts as one client: an IPv4 address, or an IPv6 /64, the least that one subscriber is given (RFC 6177). */
export function clientKey(address: string): string | undefined {
  const known = clients.get(address)
  if (known !== undefined) return known
  const client = parseAddress(address)
  if (client !== undefined) clients.set(address, client)
  return client
}

function parseAddress(address: string): string | undefined {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) return undefined
  const parsed = ipaddr.process(address)
  return parsed instanceof ipaddr.IPv6
    ? `${parsed.parts
        .slice(0, 4)
        .map((part) => part.toString(16))
        .join(':')}::/64`
    : parsed.toString()
}

/**
 * The client behind a request: the rightmost address in the trusted proxy's `header`, else the socket's address.
 * Entries further left are the client's own words. A header that holds no address there is ignored.
 */
export function clientOf(request: Request, server: Server<unknown> | null, header: string | undefined): string {
  const named = header && request.headers.get(header)?.split(',').at(-1)?.trim()
  return (named && clientKey(named)) || clientKey(server?.requestIP(request)?.address ?? '') || 'unknown'
}

/** The IPv6 /48 that a client is part of; undefined for one of IPv4. */
const siteOf = (client: string) => /^(\w+:\w+:\w+):\w+::\/64$/.exec(client)?.[1]

interface LimitOptions {
  /** How much is admitted in a window; 0 for no limit. */
  max: number
  /** Milliseconds from the first event that counts. */
  window: number
  /** Milliseconds that a key is refused once it has reached `max`; without it, what is left of the window. */
  lock?: number
}

interface Count {
  count: number
  endsAt: number
}

/** Counts per key in fixed windows. Times are milliseconds since 1970, waits are milliseconds, 0 for none. */
export class Limit {
  #counts = new LRUCache<string, Count>({ max: REMEMBERED_CLIENTS })

  constructor(readonly options: LimitOptions) {}

  #current(key: string, now: number) {
    const entry = this.#counts.get(key)
    return entry && entry.endsAt > now ? entry : undefined
  }

  #fresh = (now: number): Count => ({ count: 0, endsAt: now + this.options.window })

  /** How long `key` must wait until `amount` more is admitted. */
  wait(key: string, now: number, amount = 1): number {
    const { max } = this.options
    if (max === 0) return 0
    const { count, endsAt } = this.#current(key, now) ?? this.#fresh(now)
    return count + amount > max ? endsAt - now : 0
  }

  /** Counts `amount`, whether or not it would have been admitted. */
  count(key: string, now: number, amount = 1): Readonly<Count> {
    const { max, lock } = this.options
    const known = this.#current(key, now)
    const entry = known ?? this.#fresh(now)
    entry.count += amount
    if (lock !== undefined && entry.count >= max) entry.endsAt = now + lock
    if (max > 0 && !known) this.#counts.set(key, entry)
    return entry
  }

  /** Takes back what `count` counted. */
  uncount(key: string, now: number, amount = 1) {
    const entry = this.#current(key, now)
    if (entry) entry.count -= amount
  }

  /** How much `key` has left. */
  left(key: string, now: number): number {
    return Math.max(0, this.options.max - (this.#current(key, now)?.count ?? 0))
  }

  forget(key: string) {
    this.#counts.delete(key)
  }
}

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
    `- ${settings.MAX_TEXT_BYTES} bytes per text, ${settings.MAX_STORED_BYTES} bytes for all texts together`,
  ].join('\n')

/** All limits of one server, by the clock `now`. The methods that refuse throw a `Refusal`. */
export function createGuard(settings: Settings, now: () => number) {
  const requests = new Limit({ max: settings.REQUESTS_PER_MINUTE, window: MINUTE })
  const writes = new Limit({ max: settings.WRITES_PER_MINUTE, window: MINUTE })
  const bytes = new Limit({ max: settings.WRITE_BYTES_PER_DAY, window: DAY })
  const misses = new Limit({ max: settings.MISSES_PER_HOUR, window: HOUR, lock: HOUR })
  const siteMisses = new Limit({ max: CLIENTS_PER_SITE * settings.MISSES_PER_HOUR, window: HOUR, lock: HOUR })
  const passwordsPerClient = new Limit(PASSWORDS_PER_CLIENT)
  const passwordsPerText = new Limit(PASSWORDS_PER_TEXT)
  /** Passwords that are being verified, by the keys of both limits. */
  const verifying = new Map<string, number>()
  let waiting = 0
  let verified = Promise.withResolvers<void>()

  /** Whether a further password may be verified: all those under way might yet prove wrong. */
  const hasRoom = (limit: Limit, key: string) => limit.left(key, now()) > (verifying.get(key) ?? 0)

  /** Admits a request, and counts it. */
  function admitRequest(client: string) {
    refuseWhile(requests.wait(client, now()), 'too_many_requests')
    return requests.count(client, now())
  }

  /** Admits a look-up, on whichever route: to be asked before anything is looked up. */
  function admitLookUp(client: string) {
    const site = siteOf(client)
    refuseWhile(Math.max(misses.wait(client, now()), site ? siteMisses.wait(site, now()) : 0), 'too_many_misses')
  }

  return {
    admitRequest,

    /** For elysia-rate-limit, which asks before every handler. */
    requests: rateLimitContext(admitRequest),

    /** Admits a write of `size` bytes, and counts it. */
    admitWrite(client: string, size: number) {
      refuseWhile(
        writes.wait(client, now()),
        'too_many_requests',
        'Too many texts were written from your network address.',
      )
      refuseWhile(bytes.wait(client, now(), size), 'too_many_bytes')
      writes.count(client, now())
      bytes.count(client, now(), size)
    },

    /** Takes back the bytes of a write that was admitted and then failed. */
    uncountBytes: (client: string, size: number) => bytes.uncount(client, now(), size),

    admitLookUp,

    /** Counts a look-up that found nothing; returns the refusal to answer it with. */
    miss(client: string): Refusal {
      // Of a burst that was admitted as a whole, as many are told as would have been one by one.
      admitLookUp(client)
      misses.count(client, now())
      const site = siteOf(client)
      if (site) siteMisses.count(site, now())
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
      for (;;) {
        const pause = Math.max(passwordsPerClient.wait(both, now()), passwordsPerText.wait(text, now()))
        refuseWhile(pause, 'too_many_passwords')
        if (hasRoom(passwordsPerClient, both) && hasRoom(passwordsPerText, text)) break
        if (waiting >= MAX_WAITING_PASSWORDS) throw new Refusal('busy', { retryAfter: 3 })
        waiting++
        await verified.promise
        waiting--
      }
      for (const key of [both, text]) verifying.set(key, (verifying.get(key) ?? 0) + 1)
      try {
        if (await verify()) return passwordsPerClient.forget(both)
        passwordsPerClient.count(both, now())
        passwordsPerText.count(text, now())
      } finally {
        for (const key of [both, text]) {
          const others = (verifying.get(key) ?? 1) - 1
          if (others > 0) verifying.set(key, others)
          else verifying.delete(key)
        }
        verified.resolve()
        verified = Promise.withResolvers()
      }
      const triesLeft = passwordsPerClient.left(both, now())
      throw new Refusal('wrong_password', { triesLeft, message: `The password is wrong. Tries left: ${triesLeft}.` })
    },
  }
}
