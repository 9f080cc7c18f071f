/** Who asks: the client behind a request, for limits, and the network that the log names. */
import type { Server } from 'bun'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'

/** Addresses whose clients are remembered, least recently seen forgotten first: what a flood of new ones fills the memory with. */
const REMEMBERED_ADDRESSES = 2000

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
  lastClient =
    (header && namedClient(request, header)) || clientKey(server?.requestIP(request)?.address ?? '') || 'unknown'
  lastRequest = request
  return lastClient
}

/** The client that the proxy's `header` names, in whichever form proxies write addresses. */
export function namedClient({ headers }: Request, header: string): string | undefined {
  const entry = lastEntry(headers.get(header) ?? '').trim()
  return clientKey(entry) ?? looseClientKey(entry)
}

/** The client of `192.0.2.1:80`, `[2001:db8::1]:80`, `fe80::1%eth0.1`, or `for="[2001:db8::1]:80";proto=https` (RFC 7239). */
function looseClientKey(entry: string): string | undefined {
  const forwarded = [...entry.matchAll(PARAMETER)].find(([, name]) => name?.toLowerCase() === 'for')
  const address = (forwarded?.[2] ?? entry)
    .replace(/^"(.*)"$/, '$1')
    .replace(/^\[(.*)\](:[\w.-]+)?$/, '$1')
    .replace(/%.*$/, '')
  return clientKey(address) ?? clientKey(address.replace(/:[\w.-]+$/, ''))
}

/** A parameter of RFC 7239, one behind another. */
const PARAMETER = /\s*([\w-]+)=("(?:[^"\\]|\\.)*"|[^";]*)(?:;|$)/gy

/**
 * What stands behind the last comma that is not quoted. From the right, where the proxy's own words are, so that a quote
 * of the client's on the left cannot make them its own.
 */
function lastEntry(list: string): string {
  if (!list.includes('"')) return list.slice(list.lastIndexOf(',') + 1)
  let isQuoted = false
  for (let at = list.length - 1; at >= 0; at--) {
    if (list[at] === ',' && !isQuoted) return list.slice(at + 1)
    if (list[at] !== '"') continue
    let backslashes = 0
    while (list[at - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) isQuoted = !isQuoted
  }
  return list
}

/** A network that a client is part of. */
export interface Network {
  name: string
  /** How many times as much as a client it may do. */
  clients: number
  /** Which of its parts the client is in, of at most 256. */
  part: string
}

/**
 * The networks above a client, each with ten times what the level below has: an IPv4 /24; an IPv6 /48, which is what one
 * site is given (RFC 6177), and a /32, which is what a provider is. Private addresses have none: an office or a home
 * that runs its own server is one network, and its members are known.
 */
export function networksOf(client: string): readonly Network[] {
  const known = networks.get(client)
  if (known) return known
  const found = findNetworks(client)
  networks.set(client, found)
  return found
}

const networks = new LRUCache<string, readonly Network[]>({ max: REMEMBERED_ADDRESSES })

function findNetworks(client: string): readonly Network[] {
  const [, v4] = /^(\d+\.\d+\.\d+)\.\d+$/.exec(client) ?? []
  if (v4) return isPrivate(client) ? [] : [{ name: `${v4}.0/24`, clients: 10, part: client }]
  const [, provider, site = '', subnet = ''] = /^(\w+:\w+):(\w+):(\w+)::\/64$/.exec(client) ?? []
  if (!provider || isPrivate(client.slice(0, -3))) return []
  return [
    // A home is given a /56 of a site.
    { name: `${provider}:${site}::/48`, clients: 10, part: `${provider}:${site}:${subnet.slice(0, -2)}00::/56` },
    { name: `${provider}::/32`, clients: 100, part: `${provider}:${site.slice(0, -2)}00::/40` },
  ]
}

const isPrivate = (address: string) =>
  /^(private|loopback|linkLocal|uniqueLocal|carrierGradeNat|unspecified)$/.test(ipaddr.parse(address).range())

/** The network that the log names: enough to see an attack, too little to see a person. */
export function networkOf(client: string): string {
  const known = named.get(client)
  if (known !== undefined) return known
  const name = client.replace(/^(\d+\.\d+\.\d+)\.\d+$/, '$1.0/24').replace(/^(\w+:\w+:\w+):\w+::\/64$/, '$1::/48')
  named.set(client, name)
  return name
}

const named = new LRUCache<string, string>({ max: REMEMBERED_ADDRESSES })

/**
 * The number, of 16 bits, by which the texts of a client's network are counted; null where it has none. It is kept beside
 * each text, so it is no more than that: 256 networks of IPv4 have each number in common, and share what one may store.
 */
export function writerOf(client: string): number | null {
  const [network] = networksOf(client)
  return network ? Bun.hash.xxHash32(network.name) & 0xffff : null
}
