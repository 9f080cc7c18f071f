/** Who asks: the client behind a request, for limits, and the network that the log names. */
import type { Server } from 'bun'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'

/** Addresses whose clients are remembered, least recently seen forgotten first. */
const REMEMBERED_ADDRESSES = 20_000

/** The clients of the addresses seen last, since parsing an address takes as long as reading a text. */
const clients = new LRUCache<string, string>({ max: REMEMBERED_ADDRESSES })

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

/** The client of the last request: it is asked for several times, mostly in one go. */
let lastRequest: Request | undefined
let lastClient = ''

/**
 * The client behind a request: the rightmost address in the trusted proxy's `header`, else the socket's address.
 * Entries further left are the client's own words. A header that holds no address there is ignored.
 */
export function clientOf(request: Request, server: Server<unknown> | null, header: string | undefined): string {
  if (request === lastRequest) return lastClient
  const named = header && request.headers.get(header)?.split(',').at(-1)?.trim()
  lastClient = (named && clientKey(named)) || clientKey(server?.requestIP(request)?.address ?? '') || 'unknown'
  lastRequest = request
  return lastClient
}

/** The IPv6 /48 that a client is part of; undefined for one of IPv4. */
export const siteOf = (client: string) => /^(\w+:\w+:\w+):\w+::\/64$/.exec(client)?.[1]

/** The network of a client: enough to see an attack, too little to see a person. An IPv4 /24 or an IPv6 /48. */
export const networkOf = (client: string): string =>
  client.replace(/^(\d+\.\d+\.\d+)\.\d+$/, '$1.0/24').replace(/^(\w+:\w+:\w+):\w+::\/64$/, '$1::/48')

/** Ranges of addresses that are no network's of the internet: whoever comes from one is at home where the server is. The /64 of `::1` begins as `::`. */
const HOME_RANGES = new Set(['loopback', 'unspecified', 'private', 'uniqueLocal', 'linkLocal', 'carrierGradeNat'])

/**
 * The number, of 16 bits, by which the texts of a client's network are counted; null where it has none. It is kept beside
 * each text, so it is no more than that: 256 networks of IPv4 have each number in common, and share what one may store.
 */
export function writerOf(client: string): number | null {
  const address = client.replace(/\/64$/, '')
  if (!ipaddr.isValid(address) || HOME_RANGES.has(ipaddr.parse(address).range())) return null
  return Bun.hash.xxHash32(networkOf(client)) & 0xffff
}
