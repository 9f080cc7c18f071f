import { expect, test } from 'bun:test'
import { clientKey, clientOf, writerOf } from '../client.ts'
import { root } from './support/support.ts'

const socket = (address: string | null) =>
  ({ requestIP: () => address && { address, port: 1, family: 'IPv4' } }) as unknown as Parameters<typeof clientOf>[1]

const client = (socketAddress: string | null, header?: string, value?: string) =>
  clientOf(
    new Request('http://localhost/', { headers: value === undefined || !header ? {} : { [header]: value } }),
    socket(socketAddress),
    header,
  )

test('an IPv6 client is its /64, an IPv4-mapped one its IPv4 address', () => {
  const keys: [address: string, key: string | undefined][] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::', '2001:db8:1:3::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', undefined],
    ['unknown', undefined],
    ['127.1', undefined],
    ['0x7f000001', undefined],
    ['1', undefined],
    ['192.0.2.256', undefined],
    ['192.0.2.1:80', undefined],
    ['[::1]', undefined],
    ['192.0.2.1, 192.0.2.2', undefined],
  ]
  for (const [address, key] of keys) expect([address, clientKey(address)]).toEqual([address, key])
})

test('without CLIENT_IP_HEADER no header is believed', () => {
  for (const header of ['x-forwarded-for', 'fly-client-ip', 'x-real-ip', 'forwarded']) {
    const request = new Request('http://localhost/', { headers: { [header]: '192.0.2.9' } })
    expect(clientOf(request, socket('192.0.2.1'), undefined)).toBe('192.0.2.1')
  }
})

test('behind a proxy the rightmost address of its header is the client', () => {
  expect(client('10.0.0.1', 'X-Forwarded-For', '192.0.2.9')).toBe('192.0.2.9')
  expect(client('10.0.0.1', 'X-Forwarded-For', '198.51.100.1, 192.0.2.9')).toBe('192.0.2.9')
  expect(client('10.0.0.1', 'X-Forwarded-For', 'rubbish,,  192.0.2.9  ')).toBe('192.0.2.9')
  expect(client('10.0.0.1', 'Fly-Client-IP', '2001:db8::1')).toBe('2001:db8:0:0::/64')
  expect(client('10.0.0.1', 'X-Forwarded-For', '::ffff:192.0.2.9')).toBe('192.0.2.9')
})

test('an address is read in every form in which proxies write it', () => {
  const forms: [value: string, client: string][] = [
    ['203.0.113.1:51', '203.0.113.1'],
    ['198.51.100.1:9, 203.0.113.1:51', '203.0.113.1'],
    ['"203.0.113.1"', '203.0.113.1'],
    ['"203.0.113.1:51"', '203.0.113.1'],
    ['[2001:db8::1]', '2001:db8:0:0::/64'],
    ['[2001:db8::1]:443', '2001:db8:0:0::/64'],
    ['"[2001:db8::1]:443"', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6:443', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['fe80::1%eth0.100', 'fe80:0:0:0::/64'],
    ['[fe80::1%25eth0]:80', 'fe80:0:0:0::/64'],
    ['[::ffff:203.0.113.1]:80', '203.0.113.1'],
    ['::FFFF:203.0.113.1', '203.0.113.1'],
    ['for=203.0.113.1', '203.0.113.1'],
    ['For="203.0.113.1:51";proto=https;by=10.0.0.1', '203.0.113.1'],
    ['by=10.0.0.1;FOR="[2001:db8::1]:443"', '2001:db8:0:0::/64'],
    ['for="[2001:db8::1]:_hidden"', '2001:db8:0:0::/64'],
    ['for=198.51.100.1, for=203.0.113.1;host="a,b"', '203.0.113.1'],
    ['proto=https; for=203.0.113.1; host=a', '203.0.113.1'],
  ]
  for (const [value, key] of forms) expect([value, client('10.0.0.1', 'Forwarded', value)]).toEqual([value, key])
})

test('no quote of the client’s makes the proxy’s words its own', () => {
  const forged = [
    'for="198.51.100.9, for=203.0.113.1;host="h"',
    'for=198.51.100.9;x=", for=203.0.113.1;host="h"',
    'a", for=198.51.100.9;x=", for=203.0.113.1;host="h"',
    'for=203.0.113.1;host="h, for=198.51.100.9"',
    'for=203.0.113.1;host="h;for=198.51.100.9"',
    'host="h;for=198.51.100.9;x=";for=203.0.113.1',
    'for=203.0.113.1;host="h\\", for=198.51.100.9;x=\\""',
    'host="h\\";for=198.51.100.9;x=\\"";for=203.0.113.1',
    'for=203.0.113.1;host="h\\\\"',
  ]
  for (const value of forged) expect([value, client('10.0.0.1', 'Forwarded', value)]).toEqual([value, '203.0.113.1'])
  const long = `${'"\\,'.repeat(5000)}, 203.0.113.1`
  expect(client('10.0.0.1', 'X-Forwarded-For', long)).toBe('203.0.113.1')
})

test('a header that names no address rightmost falls back to the socket, never to what stands left of it', () => {
  for (const value of [
    '',
    'unknown',
    '192.0.2.9, unknown',
    '192.0.2.9,',
    '192.0.2.9, 127.1',
    "'; DROP TABLE text",
    '-1',
    '127.1:80',
    'for=unknown',
    'for="_hidden:80"',
    'by=192.0.2.9',
    '[192.0.2.256]:80',
    ':80',
  ]) {
    expect(client('10.0.0.1', 'X-Forwarded-For', value)).toBe('10.0.0.1')
  }
  expect(client('10.0.0.1', 'X-Forwarded-For')).toBe('10.0.0.1')
})

test('a client whose socket is gone shares one count with its like', () => {
  expect(client(null)).toBe('unknown')
})

test('a million distinct clients are counted in a bounded memory, and none of them is forgotten', () => {
  // In a process of its own, where no other test's memory comes and goes.
  const counting = `
    import { createCounters } from './db/counters.ts'
    const counters = createCounters()
    const event = (key) => [{ limit: { name: 'limit', max: 2, window: 60_000 }, key, amount: 1 }]
    const countOf = (key) => counters.read(event(key), 1)[0].count
    const memory = () => (Bun.gc(true), process.memoryUsage().rss / 2 ** 20)
    counters.add(event('first'), 0)
    const count = (from, to) => { for (let i = from; i < to; i++) counters.add(event('client ' + i), 0) }
    // By then the heap is as large as so many calls make it, and the sketch is there.
    count(0, 200_000)
    const before = memory()
    count(200_000, 1_000_000)
    const grown = memory() - before
    const counts = ['first', 'client 0', 'client 500000', 'client 999999'].map(countOf)
    counters.add(event('first'), 1)
    console.log(JSON.stringify({ grown, counts, again: countOf('first') }))`
  const { stdout } = Bun.spawnSync(['bun', '-e', counting], { cwd: root })
  const { grown, counts, again } = JSON.parse(stdout.toString()) as { grown: number; counts: number[]; again: number }
  expect(grown).toBeLessThan(40)
  expect(Math.min(...counts)).toBeGreaterThan(0)
  expect(counts[0]).toBeLessThanOrEqual(2)
  expect(again).toBeGreaterThanOrEqual(2)
})

test('all clients of a network write under one number, other networks under others, and who is at home under none', () => {
  const numberOf = (address: string) => writerOf(clientKey(address) ?? 'unknown')
  const networks = [
    ['203.0.113.1', '203.0.113.254', '::ffff:203.0.113.9'],
    ['203.0.114.1'],
    ['100.128.0.1'],
    ['2001:4860:1::1', '2001:4860:1:ffff::2'],
    ['2001:4860:2::1'],
  ]
  const numbers = networks.map((addresses) => new Set(addresses.map(numberOf)))
  for (const of of numbers) expect(of.size).toBe(1)
  const all = numbers.flatMap((of) => [...of])
  expect(new Set(all).size).toBe(networks.length)
  for (const number of all) expect(number).toBeWithin(0, 65_536)
  const homes = ['127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.0.1', '169.254.1.1', '100.64.0.1', '::1', 'fd00::1']
  for (const address of [...homes, 'fe80::1%eth0', '::ffff:10.0.0.1', 'nonsense']) expect(numberOf(address)).toBeNull()
})
