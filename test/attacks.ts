/**
 * `bun run attacks`: what was once seen to stop the service, to fill it, or to read strangers' texts, tried again on the
 * real server: on SQLite and on PostgreSQL, directly and through real Caddy, all of it on this machine. Each attack is a
 * test, which prints its figure beside the one of before the defences.
 */
import { afterEach, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { startBystander } from './support/bystander.ts'
import { isMissing as isCaddyMissing, type ReverseProxy, startCaddy } from './support/caddy.ts'
import { getCluster, isMissing as isPostgresMissing } from './support/postgres.ts'
import { type Server, start, stopAll } from './support/processes.ts'
import { SHAPES } from './support/shapes.ts'
import { filledDatabase } from './support/support.ts'

const MEBIBYTE = 1_048_576
/** The largest body that a write may have. */
const LARGEST = 6 * MEBIBYTE + 16_384

/** The limits as they are without any setting. */
const DEFAULTS = { REQUESTS_PER_MINUTE: '', WRITES_PER_MINUTE: '', WRITE_BYTES_PER_DAY: '', MISSES_PER_HOUR: '' }

interface Target extends Server {
  /** Where it is attacked. */
  at: string
  isProxied: boolean
  /** What is sent as `client`; through Caddy all are one. */
  ask(client: string, path: string, init?: RequestInit): Promise<Response>
  post(client: string, route: string, body: object): Promise<Response>
  write(client: string, text: string, more?: object): Promise<{ code: string; eraseToken: string }>
  dial(): Promise<Socket>
  /** Mebibytes that it has taken at most. */
  peak(): number
}

let caddy: ReverseProxy | undefined

async function startTarget(isPostgres: boolean, isProxied: boolean, env: Record<string, string> = {}): Promise<Target> {
  const path = isPostgres ? await (await getCluster()).database() : await filledDatabase()
  const header = isProxied ? 'X-Forwarded-For' : 'X-Client'
  const server = await start(path, { ...DEFAULTS, CLIENT_IP_HEADER: header, LOG_LEVEL: 'warn', ...env })
  if (isProxied) caddy = await startCaddy('texts.localhost', server.url)
  const at = caddy?.url ?? server.url
  const ask = (client: string, path: string, init: RequestInit = {}) =>
    fetch(at + path, {
      ...init,
      redirect: 'manual',
      headers: { 'x-client': client, ...(init.headers as Record<string, string>) },
      tls: { rejectUnauthorized: false },
    })
  const post = (client: string, route: string, body: object) =>
    ask(client, `/api/${route}`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) })
  return {
    ...server,
    ...{ at, isProxied, ask, post },
    write: async (client, text, more) =>
      (await (await post(client, 'write', { text, ...more })).json()) as { code: string; eraseToken: string },
    dial: () =>
      new Promise((resolve) => {
        const { hostname, port } = new URL(at)
        const socket: Socket = isProxied
          ? connectTls({ host: '127.0.0.1', port: Number(port), servername: hostname, rejectUnauthorized: false }, () =>
              resolve(socket),
            )
          : connect(Number(port), '127.0.0.1', () => resolve(socket))
        socket.on('error', () => {})
      }),
    peak: () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))?.[1]) / 1024,
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }

afterEach(async () => {
  await caddy?.stop()
  caddy = undefined
  await stopAll()
})

const [ATTACKER, HONEST] = ['198.18.7.7', '203.0.113.9']

/** Sends each, `together` at a time, and returns the statuses, counted. */
async function flood(count: number, together: number, send: (at: number) => Promise<Response>) {
  const statuses: Record<number, number> = {}
  let next = 0
  const one = async () => {
    while (next < count) {
      const response = await send(next++)
      await response.arrayBuffer()
      statuses[response.status] = (statuses[response.status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: together }, one))
  return statuses
}

const say = (what: string, before: string, now: string) => console.log(`  ${what}: ${now} (before: ${before})`)
const ms = (value: number) => `${Math.round(value)} ms`
const spell = (statuses: Record<number, number>) =>
  Object.entries(statuses)
    .map(([status, count]) => `${count} × ${status}`)
    .join(', ') || 'none'

describe.each([
  ['SQLite, directly', false, false],
  ['SQLite, through Caddy', false, true],
  ['PostgreSQL, directly', true, false],
  ['PostgreSQL, through Caddy', true, true],
])('%s', (_, isPostgres, isProxied) => {
  const isMissing = (isPostgres && isPostgresMissing) || (isProxied && isCaddyMissing)
  /** An attack that one address makes; and one that takes many, which Caddy would see as one. */
  const attack = test.skipIf(isMissing)
  const attackOfMany = test.skipIf(isMissing || isProxied)
  const target = (env?: Record<string, string>) => startTarget(isPostgres, isProxied, env)

  attack('JSON of every shape, as much as one address may send', async () => {
    const server = await target()
    const { code } = await server.write(HONEST, 'meanwhile')
    const bodies = Object.entries(SHAPES).map(([name, shape]) => ({ name, body: Buffer.from(shape(LARGEST - 10_000)) }))
    const over = startBystander(isProxied ? `${server.at}/health` : `${server.at}/${code}`)
    const slowest = { name: '', took: 0 }
    const send = async (route: string, at: number) => {
      const { name, body } = bodies[at % bodies.length] as (typeof bodies)[number]
      const started = performance.now()
      const answer = await server.ask(ATTACKER, `/api/${route}`, { method: 'POST', headers: JSON_TYPE, body })
      const took = performance.now() - started
      if (took > slowest.took) Object.assign(slowest, { name: `${name} to ${route}`, took })
      return answer
    }
    const written = await flood(40, 8, (at) => send('write', at))
    const asked = await flood(40, 8, (at) => send(at % 2 === 0 ? 'load' : 'erase', at >> 1))
    const waits = await over()
    say('longest wait of anybody else', '7,300 ms', `${ms(waits.longest)}, median ${ms(waits.median)}`)
    say('slowest answer to the attacker', '1,000 ms', `${ms(slowest.took)}, ${slowest.name}`)
    say('peak memory', '1,347 MB', `${Math.round(server.peak())} MB`)
    say('40 to write, 8 at once', '40 × 422', spell(written))
    say('40 to load or erase', '40 × 422', spell(asked))
    expect(server.peak()).toBeLessThan(400)
    expect(waits.longest).toBeLessThan(1000)
  })

  attackOfMany('the pool is drained, and what is left is asked for', async () => {
    const server = await target({ MAX_TEXTS: '1000' })
    const strangers = await Promise.all(
      Array.from({ length: 30 }, (_, at) => server.write(`203.0.${at}.1`, 'a stranger’s')),
    )
    const site = await flood(2000, 32, (at) =>
      server.ask(`2001:470:1:${at.toString(16)}::1`, '/?expires=30d', { method: 'POST', body: 'x' }),
    )
    say('texts that one /48 writes in a minute', '29,000 in 2 s', `${site[201]}: 100,000 would take it 5.6 hours`)
    const many = await flood(2000, 32, (at) =>
      server.ask(`5.${at % 250}.${at >> 8}.1`, '/?expires=30d', { method: 'POST', body: 'x' }),
    )
    say('texts until the store has as many as it may, here 1,000', 'all codes', spell(many))
    // Which codes are its own the attacker knows; here it is told of the others a thousand.
    const own = new Set(strangers.map(({ code }) => code))
    const guesses = await flood(60, 4, (at) =>
      server.ask(ATTACKER, `/${[...own][0]?.slice(0, 2)}${'abcdefgh'[at % 8]}${'abcdefgh'[at >> 3]}`),
    )
    say('60 guesses of one address', '60 × 200', spell(guesses))
    expect(site[201]).toBeLessThanOrEqual(300)
    expect(guesses[200] ?? 0).toBeLessThan(5)
  })

  attack('a foreign page spends its visitor’s limits', async () => {
    const server = await target()
    const { code } = await server.write(HONEST, 'mine')
    const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', origin: 'https://evil.example' }
    const misses = await flood(20, 4, (at) =>
      server.ask(HONEST, `/zzz${'abcdefghijklmnopqrst'[at]}`, { headers: foreign }),
    )
    const writes = await flood(30, 4, () =>
      server.ask(HONEST, '/?expires=30d', { method: 'POST', headers: foreign, body: 'x'.repeat(MEBIBYTE) }),
    )
    const sockets = await flood(20, 4, (at) =>
      server.ask(HONEST, `/yyy${'abcdefghijklmnopqrst'[at]}`, {
        headers: { origin: 'https://evil.example', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
      }),
    )
    const load = await server.ask(HONEST, `/${code}`)
    const write = await server.ask(HONEST, '/', { method: 'POST', body: 'mine too' })
    say('20 images', '20 × 404', spell(misses))
    say('30 × 1 MiB posted', '30 × 201', spell(writes))
    say('20 WebSockets', '20 × 404', spell(sockets))
    say('then the visitor’s load and write', '429, 429', `${load.status}, ${write.status}`)
    expect([load.status, write.status]).toEqual([200, 201])
  })

  attack('bodies that come slowly keep others’ out', async () => {
    const server = await target()
    const sockets: Socket[] = []
    const host = new URL(server.at).host
    for (let at = 0; at < 41; at++) {
      const size = at < 21 ? LARGEST : at < 39 ? 100_000 : 20_000
      const socket = await server.dial()
      sockets.push(socket)
      socket.write(
        `POST /api/write HTTP/1.1\r\nHost: ${host}\r\nX-Client: ${ATTACKER}\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`,
      )
      socket.write(`{"text":"${'x'.repeat(size - 4096)}`)
    }
    const others = await flood(20, 2, (at) =>
      server.ask(HONEST, '/', { method: 'POST', body: 'x'.repeat(at % 2 === 0 ? 20_000 : 100_000) }),
    )
    say('others’ 20 kB and 100 kB', '20 × 503', spell(others))
    for (const socket of sockets) socket.destroy()
    expect(others).toEqual({ 201: 20 })
  })

  attackOfMany('the store is filled from a few addresses', async () => {
    const server = await target()
    const body = 'x'.repeat(MEBIBYTE)
    const write = (address: string) => server.ask(address, '/?expires=30d', { method: 'POST', body })
    const alone = await flood(60, 4, () => write(ATTACKER))
    const site = await flood(200, 4, (at) => write(`2001:470:1:${(at % 18).toString(16)}::1`))
    say(
      'MiB for 30 days by one address',
      '50 a day, 512 in 10.2 days',
      `${alone[201]}, then ${spell({ ...alone, 201: 0 })}`,
    )
    say('MiB for 30 days by 18 /64s of one /48', '511 in 3 s', `${site[201]}`)
    expect(site[201]).toBeLessThanOrEqual(200)
    const networks = await flood(600, 4, (at) => write(`5.${at % 40}.1.1`))
    const small = await server.ask(HONEST, '/?expires=1d', { method: 'POST', body: 'x'.repeat(16_384) })
    say(
      'MiB by 40 more networks, and then an honest 16 KiB for a day',
      '512, then 507',
      `${networks[201]}, then ${small.status}`,
    )
    expect(small.status).toBe(201)
  })

  attackOfMany('the counters are made to forget', async () => {
    const server = await target()
    const code = (at: number) => `${'ABCDEFGH'[at >> 4] ?? 'Z'}${'abcdefghijklmnop'[at & 15]}qq`
    const first = await flood(25, 1, (at) => server.ask(ATTACKER, `/${code(at)}`))
    const started = performance.now()
    const others = await flood(20_001, 32, (at) =>
      server.ask(`5.${at >> 16}.${(at >> 8) & 255}.${at & 255}`, `/${code(at % 90)}`),
    )
    const took = performance.now() - started
    const again = await flood(20, 1, (at) => server.ask(ATTACKER, `/${code(at + 40)}`))
    say('misses of an address', '20 × 404, then 429', spell(first))
    say('then a miss each of 20,001 others', '20,001 × 404 in 2.3 s', `${spell(others)} in ${ms(took)}`)
    say('the first again', '20 × 404', spell(again))
    expect(again).toEqual({ 429: 20 })
  })

  attack('a short Host moves the path', async () => {
    const server = await target()
    const { code } = await server.write(HONEST, 'mine')
    let found = 0
    for (const host of ['nas', 'a', 'a.b', '[::1]']) {
      for (const path of [`/assets/${code}`, `/x/${code}`, '/zz/health', `/${code}/x`]) {
        const response = await server.ask(ATTACKER, path, { headers: { host } })
        if (/mine|"ok"/.test(await response.text())) found++
      }
    }
    say('what 16 wrong paths find', 'the text', String(found))
    expect(found).toBe(0)
  })

  attackOfMany('passwords are kept busy', async () => {
    const server = await target()
    const { code } = await server.write(HONEST, 'mine', { password: 'right' })
    let isOver = false
    const attacking = flood(100_000, 48, (at) =>
      isOver
        ? Promise.resolve(new Response())
        : server.post(`2001:470:1:1${((at % 240) + 16).toString(16)}::1`, 'write', { text: 'x', password: 'p' }),
    )
    const loads: number[] = []
    const statuses: Record<number, number> = {}
    for (let at = 0; at < 10; at++) {
      const started = performance.now()
      const { status } = await server.post(`203.0.${at}.9`, 'load', { code, password: 'right' })
      loads.push(performance.now() - started)
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    isOver = true
    await attacking
    say(
      'honest loads with the right password',
      '8 × 503, 2 × 200 after 2.1 s',
      `${spell(statuses)}, the slowest after ${ms(Math.max(...loads))}`,
    )
    expect(statuses).toEqual({ 200: 10 })
    expect(Math.max(...loads)).toBeLessThan(2000)
  })

  attackOfMany('others are locked out', async () => {
    const server = await target()
    const { code } = await server.write(HONEST, 'mine')
    const lettersOf = (at: number) => `${'ABCDEFGHIJ'[at % 10]}${'abcdefghijklmnopqrst'[Math.floor(at / 10) % 20]}q`
    const misses = await flood(400, 8, (at) => server.ask(`2001:470:1:${at % 20}::1`, `/${lettersOf(at)}z`))
    const neighbours = await flood(20, 1, (at) => server.ask(`2001:470:1:1${(at + 16).toString(16)}::1`, `/${code}`))
    say('20 /64s of a /48 that miss', '200 × 404', spell(misses))
    say('then the right code from 20 homes beside', '20 × 429', spell(neighbours))
    expect(neighbours).toEqual({ 200: 20 })
    const locked = await server.write(HONEST, 'mine', { password: 'right' })
    const load = (client: string, password: string) => server.post(client, 'load', { code: locked.code, password })
    const wrong = await flood(50, 4, (at) => load(`2001:470:2:${at % 10}::1`, 'wrong'))
    const right = await load(HONEST, 'right')
    say('50 wrong passwords from 10 /64s of a /48', '50 × 401', spell(wrong))
    say('then the right one', '429', String(right.status))
    expect(right.status).toBe(200)
  })

  attack('the log is flooded', async () => {
    const server = await target({ LOG_LEVEL: 'info' })
    const statuses = await flood(5000, 32, () => server.ask(ATTACKER, '/aaaa'))
    await server.stop()
    const lines = (await server.output()).split('"too_many_requests"').length - 1
    say(`lines of the log for ${statuses[429]} × 429`, 'one each', String(lines))
    expect(lines).toBeLessThanOrEqual(2)
  })

  attack('what costs little is asked for without end', async () => {
    const server = await target()
    for (const [path, method] of [
      ['/health', 'GET'],
      ['/assets/x', 'GET'],
      ['/api/load', 'OPTIONS'],
    ] as const) {
      const statuses = await flood(1500, 16, () => server.ask(ATTACKER, path, { method }))
      say(`1,500 × ${method} ${path}`, 'all answered', spell(statuses))
      expect(statuses[429] ?? 0).toBeGreaterThan(250)
    }
  })

  attack('a name that is made to point here', async () => {
    const server = await target({ PUBLIC_URL: 'https://www.texts.localhost' })
    const { code } = await server.write(HONEST, 'mine').catch(() => ({ code: 'aaaa' }))
    const headers = { ...JSON_TYPE, host: 'evil.example', origin: 'http://evil.example' }
    const load = await fetch(`${server.url}/api/load`, { method: 'POST', headers, body: JSON.stringify({ code }) })
    say('a load under another name', '200', String(load.status))
    expect(load.status).toBe(421)
  })

  attack('a text for once is taken by who has gone', async () => {
    const server = await target({ REQUESTS_PER_MINUTE: '0', WRITES_PER_MINUTE: '0' })
    const host = new URL(server.at).host
    let kept = 0
    for (let at = 0; at < 20; at++) {
      const { code } = await server.write(HONEST, 'once', { once: true })
      const socket = await server.dial()
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.write(
        `POST /${code} HTTP/1.1\r\nHost: ${host}\r\nX-Client: ${ATTACKER}\r\nContent-Length: 0\r\n\r\n`,
        () => socket.resetAndDestroy(),
      )
      await closed
      if ((await server.ask(HONEST, `/${code}`, { method: 'POST' })).status === 200) kept++
    }
    say('texts that are still there, of 20', '0', String(kept))
  })

  attack('a code is asked for in every spelling', async () => {
    const server = await target()
    const { code } = await server.write(HONEST, 'mine')
    const spellings: ((code: string) => [path: string, init?: RequestInit])[] = [
      (c) => [`/${c}`],
      (c) => [`/${c}`, { method: 'HEAD' }],
      (c) => [`/%${c.charCodeAt(0).toString(16)}${c.slice(1)}`],
      (c) => [`/%20${c}%20`],
      (c) => [`/${c}/`],
      (c) => [`//${c}`],
      (c) => [`/${c}?a=b`],
      (c) => [`/${c}`, { method: 'POST' }],
      (c) => [`/${c}`, { headers: { range: 'bytes=0-1', 'if-none-match': '*' } }],
      (c) => [`/${c}`, { headers: { upgrade: 'websocket', connection: 'upgrade' } }],
      (c) => ['/api/load', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ code: ` ${c}\n` }) }],
      (c) => ['/api/erase', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ code: c, eraseToken: 'x' }) }],
      (c) => ['/api/load', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ code: c, password: 'x' }) }],
    ]
    const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJ'
    const guesses = await flood(36, 1, (at) => {
      const [path, init] = spellings[at % spellings.length]?.(`zQ${letters[at]}Q`) ?? ['/']
      return server.ask(ATTACKER, path, init)
    })
    say('36 guesses, each in another way', '20 × 404, 16 × 429', spell(guesses))
    expect(guesses).toEqual({ 404: 20, 429: 16 })
    // What is not counted tells the same of a code that has a text and of one that has none.
    for (const [method, path] of [
      ['OPTIONS', '/CODE'],
      ['PUT', '/CODE'],
      ['DELETE', '/CODE'],
      ['GET', '/CODE%00'],
      ['GET', '/CODE;x'],
      ['GET', '/CODE/x'],
      ['GET', '/./x/../CODE/y'],
    ] as const) {
      const [hit, miss] = await Promise.all(
        [code, 'zzzy'].map(async (code) => {
          const response = await server.ask(HONEST, path.replace('CODE', code), { method })
          return `${response.status} ${(await response.text()).replaceAll(code, 'CODE')}`
        }),
      )
      expect([method, path, hit]).toEqual([method, path, miss])
    }
  })
})
