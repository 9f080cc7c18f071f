/**
 * `bun run attacks [NAME …]`: what was tried against the server, tried again: an attack a function, its figure beside what
 * it was before there was a defence. On SQLite and PostgreSQL, directly and through Caddy, each on a new server with the
 * default limits. Bounded in number and time; only this machine is asked.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LETTERS } from '../db/store.ts'
import { getCluster, isMissing, stopCluster } from './support/postgres.ts'

const MIB = 1024 * 1024
const home = mkdtempSync(join(tmpdir(), 'extextcloud-attacks-'))
const root = join(import.meta.dir, '..')

interface Target {
  url: string
  pid: number
  /** Bytes of the log so far. */
  logged(): number
  /** Whether an attacker may choose its address: not behind Caddy, which names it truly. */
  hasAddresses: boolean
}

const code = (i: number) => [3, 2, 1, 0].map((place) => LETTERS[Math.floor(i / 52 ** place) % 52]).join('')
const from = (client: string) => ({ 'x-client': client })
const json = { 'content-type': 'application/json' }

const post = (target: Target, path: string, body: BodyInit, headers: Record<string, string> = {}) =>
  fetch(target.url + path, { method: 'POST', body, headers }).catch(() => new Response(null, { status: 599 }))
const load = (target: Target, code: string, client: string, more: object = {}) =>
  post(target, '/api/load', JSON.stringify({ code, ...more }), { ...json, ...from(client) })
const write = async (target: Target, client: string, body: object = {}) =>
  (await (
    await post(target, '/api/write', JSON.stringify({ text: 'a', ...body }), { ...json, ...from(client) })
  ).json()) as {
    code: string
  }

/** Statuses and how often each came. */
const counted = (statuses: number[]) =>
  Object.entries(Object.groupBy(statuses, String))
    .map(([status, all = []]) => `${all.length} × ${status}`)
    .join(', ')

/** Does `work` for 0 to `count` - 1, `atOnce` at a time. */
async function many<T>(count: number, atOnce: number, work: (i: number) => Promise<T>): Promise<T[]> {
  const done: T[] = []
  let next = 0
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) {
        const i = next++
        done[i] = await work(i)
      }
    }),
  )
  return done
}

/** The longest that somebody else's load takes while `attack` goes on, in milliseconds. */
async function longestWait(target: Target, code: string, attack: Promise<unknown>): Promise<number> {
  let isOver = false
  void attack.finally(() => {
    isOver = true
  })
  let longest = 0
  for (let i = 0; !isOver; i++) {
    const asked = performance.now()
    await load(target, code, `203.0.${i % 200}.7`)
    longest = Math.max(longest, performance.now() - asked)
    await Bun.sleep(5)
  }
  return longest
}

const peakMemory = ({ pid }: Target) =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

const SIZE = 6.2 * MIB
const fill = (piece: (i: number) => string, open: string, close: string) => {
  const pieces = [open]
  for (let length = 0, i = 0; length < SIZE; i++) length += pieces[pieces.push(piece(i)) - 1]?.length ?? 0
  return pieces.join('') + close
}
const SHAPES: Record<string, () => string> = {
  wide: () => fill((i) => `"k${i}":1,`, '{', '"z":1}'),
  sparse: () => fill((i) => `"${i * 1000}":1,`, '{', '"z":1}'),
  objects: () => fill(() => '{},', '{"a":[', '{}]}'),
  nested: () => '['.repeat(SIZE / 2) + ']'.repeat(SIZE / 2),
  duplicates: () => fill(() => '"a":1,', '{', '"a":1}'),
  number: () => `{"text":${'9'.repeat(SIZE)}}`,
  escapes: () => `{"text":"${'\\u0000'.repeat(SIZE / 6)}"}`,
  names: () => `{"${'\\"'.repeat(SIZE / 2)}":1}`,
}

const ATTACKS: Record<string, { before: string; run: (target: Target) => Promise<string> }> = {
  'JSON: 30 bodies of each shape from one address': {
    before: 'others waited up to 7.3 s; memory up to 1,347 MB',
    async run(target) {
      const { code } = await write(target, '203.0.113.1')
      let [longest, worst] = [0, '']
      for (const [at, [shape, make]] of Object.entries(SHAPES).entries()) {
        const body = make()
        for (const path of ['/api/write', '/api/load', '/api/erase']) {
          const attack = many(10, 8, async () => {
            const { status } = await post(target, path, body, { ...json, ...from(`192.0.${at}.2`) })
            return status
          })
          const wait = await longestWait(target, code, attack)
          if (wait > longest) [longest, worst] = [wait, `${shape}, ${path}`]
        }
      }
      return `others waited up to ${longest.toFixed(0)} ms (${worst}); memory up to ${peakMemory(target).toFixed(0)} MB`
    },
  },

  'Bodies that never end, 41 connections of one address': {
    before: 'others’ texts of 20 kB and 100 kB: 503 for as long as it went on',
    async run(target) {
      const { hostname, port } = new URL(target.url)
      const sockets: Socket[] = []
      for (let i = 0; i < 41; i++) {
        const socket = connect(Number(port), hostname).on('error', () => {})
        sockets.push(socket)
        const size = 6 * MIB
        socket.write(
          `POST /api/write HTTP/1.1\r\nHost: a\r\nX-Client: 192.0.2.1\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`,
        )
        socket.write('"'.padEnd(size - 4000, 'x'))
      }
      await Bun.sleep(1500)
      const statuses = []
      for (const size of [20_000, 100_000]) {
        statuses.push((await post(target, '/', 'x'.repeat(size), from('203.0.113.1'))).status)
      }
      for (const socket of sockets) socket.destroy()
      return `others’ texts of 20 kB and 100 kB: ${counted(statuses)}`
    },
  },

  'Draining the pool: 300 clients of one IPv6 /48 write as fast as they can': {
    before: '29,000 texts in 2.2 s, then no code was left but strangers’',
    async run(target) {
      if (!target.hasAddresses) return 'one address only: 30 texts a minute'
      const statuses = await many(6000, 32, async (i) => {
        const { status } = await post(target, '/?expires=30d', 'a', from(`2001:db8:1:${(i % 300).toString(16)}::1`))
        return status
      })
      return counted(statuses)
    },
  },

  'Filling the store: 60 clients of one IPv6 /48 write 1 MiB each, 10 times': {
    before: '511 MiB in 3 s, then 507 for everybody, for 30 days',
    async run(target) {
      const text = 'x'.repeat(MIB)
      const statuses = await many(600, 16, async (i) => {
        const client = target.hasAddresses ? `2001:db8:1:${(i % 60).toString(16)}::1` : ''
        return (await post(target, '/?expires=30d', text, from(client))).status
      })
      const other = await post(target, '/', text, from('203.0.113.1'))
      return `${counted(statuses)}; somebody else’s: ${target.hasAddresses ? other.status : 'the same address'}`
    },
  },

  'Another site’s page: 40 images and 40 posts that its visitor’s browser sends': {
    before: 'the visitor’s loads 429 for an hour, 30 texts written',
    async run(target) {
      const { code: own } = await write(target, '192.0.2.1')
      const foreign = { ...from('192.0.2.1'), 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }
      const statuses = await many(80, 8, async (i) => {
        const path = i % 2 ? '/' : `/${code(i)}`
        const request = i % 2 ? { method: 'POST', body: 'a', headers: foreign } : { headers: foreign }
        return (await fetch(target.url + path, request)).status
      })
      const visitor = [await load(target, own, '192.0.2.1'), await post(target, '/', 'a', from('192.0.2.1'))]
      return `${counted(statuses)}; the visitor’s own load and write: ${visitor.map(({ status }) => status).join(', ')}`
    },
  },

  'Counters that are forgotten: 20 misses, then one each from 20,001 other addresses': {
    before: 'the first address had 20 new misses',
    async run(target) {
      if (!target.hasAddresses) return 'one address only'
      const miss = async (i: number, client: string) => (await load(target, code(i), client)).status
      await many(20, 1, (i) => miss(i, '192.0.2.1'))
      await many(20_001, 64, (i) => miss(100 + i, `${11 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.1`))
      return `the first address then: ${counted(await many(20, 1, (i) => miss(50_000 + i, '192.0.2.1')))}`
    },
  },

  'A Host of one to three letters: a text by /assets/CODE and /x/CODE': {
    before: '200, and the text',
    async run(target) {
      const { code } = await write(target, '192.0.2.1')
      const statuses = await many(4, 1, async (i) => {
        const path = [`/assets/${code}`, `/x/${code}`, '/zz/health', `/a/b/${code}`][i]
        return (await fetch(target.url + path, { headers: { host: 'nas' } })).status
      })
      return counted(statuses)
    },
  },

  'Hashes kept busy: 48 connections of one IPv6 /56 write texts with a password': {
    before: '8 of 10 honest loads 503, 2 after 2.1 s',
    async run(target) {
      if (!target.hasAddresses) return 'one address only'
      const { code } = await write(target, '203.0.113.1', { password: 'right' })
      let isOver = false
      const flood = many(100_000, 48, async (i) => {
        if (isOver) return
        const client = `2001:db8:1:${(i % 256).toString(16)}::1`
        await post(target, '/api/write', JSON.stringify({ text: 'a', password: 'p' }), { ...json, ...from(client) })
      })
      await Bun.sleep(500)
      const statuses: number[] = []
      let longest = 0
      for (let i = 0; i < 10; i++) {
        const asked = performance.now()
        statuses.push((await load(target, code, `203.0.${i}.9`, { password: 'right' })).status)
        longest = Math.max(longest, performance.now() - asked)
      }
      isOver = true
      await flood
      return `10 honest loads: ${counted(statuses)}, the longest after ${(longest / 1000).toFixed(1)} s`
    },
  },

  'Locking out: 10 clients of one IPv6 /48 miss 20 times each, and try 50 wrong passwords': {
    before: 'every neighbour 429 for an hour; the recipient 429 for 10 minutes',
    async run(target) {
      if (!target.hasAddresses) return 'one address only'
      const plain = await write(target, '203.0.113.1')
      const secret = await write(target, '203.0.113.1', { password: 'right' })
      await many(200, 8, async (i) => (await load(target, code(i), `2001:db8:1:${i % 10}::1`)).status)
      const neighbour = await load(target, plain.code, '2001:db8:1:ffff::1')
      await many(60, 4, async (i) => {
        const answer = await load(target, secret.code, `2001:db8:2:${i % 12}::1`, { password: `wrong ${i}` })
        return answer.status
      })
      const recipient = await load(target, secret.code, '2001:db8:2:ffff::1', { password: 'right' })
      return `a neighbour’s load: ${neighbour.status}; the recipient’s: ${recipient.status}`
    },
  },

  'A flood of 20,000 loads from one address': {
    before: '9.5 MB of log in 3 s',
    async run(target) {
      const before = target.logged()
      const statuses = await many(20_000, 32, async () => {
        return (await fetch(`${target.url}/aaaa`, { headers: from('192.0.2.1') })).status
      })
      await Bun.sleep(500)
      return `${counted(statuses)}; ${((target.logged() - before) / 1024).toFixed(0)} kB of log`
    },
  },

  'Another name: a request by a Host that is not this server’s': {
    before: '200 with the text, also with PUBLIC_URL set',
    async run(target) {
      const { code } = await write(target, '192.0.2.1')
      const answer = await fetch(`${target.url}/${code}`, { headers: { host: 'evil.example' } })
      return `${answer.status} without PUBLIC_URL (OPERATING.md says what that leaves open); with it see test/foreign.test.ts`
    },
  },

  'Only once: 20 clients ask and are gone a moment later': {
    before: '20 of 20 texts were taken unread',
    async run(target) {
      const { hostname, port } = new URL(target.url)
      const codes = await many(20, 4, async (i) => (await write(target, `203.0.${i}.1`, { once: true })).code)
      await many(20, 4, async (i) => {
        const socket = connect(Number(port), hostname).on('error', () => {})
        await new Promise((resolve) => socket.once('connect', resolve))
        socket.write(`POST /${codes[i]} HTTP/1.1\r\nHost: a\r\nX-Client: 198.51.${i}.1\r\nContent-Length: 0\r\n\r\n`)
        socket.resetAndDestroy()
      })
      await Bun.sleep(300)
      const left = await many(20, 4, async (i) => (await load(target, codes[i] ?? '', `203.0.${i}.2`)).status)
      return `${left.filter((status) => status !== 200).length} of 20 texts were taken unread`
    },
  },

  'Enumeration: one address asks in 12 ways': {
    before: '20 × 404, then 429, one counter for all',
    async run(target) {
      const client = from('192.0.2.1')
      const ways: ((code: string) => Promise<Response>)[] = [
        (code) => fetch(`${target.url}/${code}`, { headers: client }),
        (code) => fetch(`${target.url}/${code}`, { headers: client, method: 'HEAD' }),
        (code) => fetch(`${target.url}/${code}/`, { headers: client }),
        (code) => fetch(`${target.url}/${code}?x=1`, { headers: client }),
        (code) => fetch(`${target.url}/%20${code}`, { headers: client }),
        (code) => fetch(`${target.url}/%${code.charCodeAt(0).toString(16)}${code.slice(1)}`, { headers: client }),
        (code) => fetch(`${target.url}/${code}`, { headers: { ...client, range: 'bytes=0-1' } }),
        (code) => fetch(`${target.url}/${code}`, { headers: { ...client, 'if-none-match': '*' } }),
        (code) => post(target, `/${code}`, '', client),
        (code) => load(target, code, '192.0.2.1'),
        (code) => load(target, code, '192.0.2.1', { take: false, password: 'p' }),
        (code) => post(target, '/api/erase', JSON.stringify({ code, eraseToken: 'x' }), { ...json, ...client }),
      ]
      const way = (i: number) => ways[i % ways.length] as (typeof ways)[number]
      return counted(await many(60, 1, async (i) => (await way(i)(code(i))).status))
    },
  },
}

/** Starts a server of its own for `attack`, does it, and takes everything away again. */
async function attempt(attack: (target: Target) => Promise<string>, isPostgres: boolean, behindCaddy: boolean) {
  const log = join(home, 'log')
  const path = isPostgres ? await (await getCluster()).database('small') : join(home, 'attacked.db')
  const server = Bun.spawn(['bun', join(root, 'index.ts')], {
    env: {
      PATH: process.env.PATH ?? '',
      PORT: '0',
      HOST: '127.0.0.1',
      DATABASE_URL: path,
      CLIENT_IP_HEADER: behindCaddy ? 'X-Forwarded-For' : 'X-Client',
    },
    stdout: 'pipe',
    stderr: Bun.file(log),
  })
  let said = ''
  for await (const chunk of server.stdout.pipeThrough(new TextDecoderStream())) {
    said += chunk
    if (said.includes('The data is in')) break
  }
  let url = /listens on (\S+)/.exec(said)?.[1] ?? ''
  let caddy: Bun.Subprocess | undefined
  try {
    if (behindCaddy) {
      const port = await freePort()
      const file = join(home, 'Caddyfile')
      await Bun.write(
        file,
        `{\nadmin off\n}\nhttp://:${port} {\nbind 127.0.0.1\nreverse_proxy ${new URL(url).host}\n}\n`,
      )
      const environment = { PATH: process.env.PATH ?? '', HOME: home }
      caddy = Bun.spawn(['caddy', 'run', '--adapter', 'caddyfile', '--config', file], {
        ...{ env: environment, stdout: 'ignore', stderr: 'ignore' },
      })
      url = `http://127.0.0.1:${port}`
      while (!(await fetch(`${url}/health`).catch(() => undefined))?.ok) await Bun.sleep(50)
    }
    return await attack({ url, pid: server.pid, logged: () => statSync(log).size, hasAddresses: !behindCaddy })
  } finally {
    caddy?.kill('SIGKILL')
    server.kill('SIGKILL')
    await server.exited
    if (!isPostgres) for (const ending of ['', '-wal', '-shm', '.lock']) rmSync(path + ending, { force: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

const words = process.argv.slice(2)
const places: [name: string, isPostgres: boolean, behindCaddy: boolean][] = [
  ['SQLite', false, false],
  ['SQLite, behind Caddy', false, true],
  ['PostgreSQL', true, false],
  ['PostgreSQL, behind Caddy', true, true],
]
try {
  for (const [name, { before, run }] of Object.entries(ATTACKS)) {
    if (!words.every((word) => name.toLowerCase().includes(word.toLowerCase()))) continue
    console.log(`\n${name}\n  before: ${before}`)
    for (const [place, isPostgres, behindCaddy] of places) {
      if ((isPostgres && isMissing) || (behindCaddy && !Bun.which('caddy'))) console.log(`  ${place}: not installed`)
      else console.log(`  ${place}: ${await attempt(run, isPostgres, behindCaddy)}`)
    }
  }
} finally {
  if (!isMissing) await stopCluster()
  rmSync(home, { recursive: true, force: true })
}
