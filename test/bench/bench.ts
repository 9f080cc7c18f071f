/**
 * `bun run bench [quick] [loads writes …]`: the real server, a process of its own, against what the machine can do at most, pair by pair
 * in one run. Every answer is checked; a wrong or failed one voids the run. Prints a table; writes `dist/bench.json`.
 */
import { Database } from 'bun:sqlite'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import puppeteer from 'puppeteer-core'
import { openStore } from '../../db/open.ts'
import { CODES } from '../../db/store.ts'
import { checkInvariant, getCluster, isMissing, query, stopCluster } from '../support/postgres.ts'
import { drive as autocannon } from './autocannon.ts'

const chosen = process.argv.slice(2)
const isQuick = chosen.includes('quick')
const PAIRS = isQuick ? 1 : 5
const SECONDS = 1
const CONNECTIONS = isQuick ? [32] : [1, 32, 256]

const here = import.meta.dir
const root = join(here, '../..')
const home = mkdtempSync(join(tmpdir(), 'extextcloud-bench-'))
const HOUR = 3_600_000

/** Every protection is on; the limits are only larger than a load generator can reach. */
const SETTINGS = {
  REQUESTS_PER_MINUTE: '1000000000',
  WRITES_PER_MINUTE: '1000000000',
  WRITE_BYTES_PER_DAY: '1000000000000000',
  MISSES_PER_HOUR: '1000000000',
  MAX_TEXTS: '7311616',
  MAX_STORED_BYTES: '1000000000000000',
}

interface Row {
  what: string
  /** What was measured, with its unit. */
  measured: string
  against?: string
  /** Of the pairs: the median, the least and the most. */
  ratio?: [median: number, least: number, most: number]
  target?: string
  isMet?: boolean
}

const rows: Row[] = []
function report(row: Row) {
  rows.push(row)
  const ratio = row.ratio?.map((part) => part.toFixed(2))
  const columns = [row.what, row.measured, row.against ?? '', ratio ? `${ratio[0]} (${ratio[1]}–${ratio[2]})` : '']
  console.log(
    `| ${[...columns, row.target ?? '', row.isMet === undefined ? '' : row.isMet ? 'met' : 'MISSED'].join(' | ')} |`,
  )
}

const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
const ratios = (these: number[], those: number[]): [number, number, number] => {
  const each = these.map((value, i) => value / (those[i] ?? Number.NaN))
  return [median(each), Math.min(...each), Math.max(...each)]
}
const n = (value: number) => Math.round(value).toLocaleString('en')
const ms = (value: number) => `${value.toFixed(value < 10 ? 2 : 0)} ms`

interface Running {
  url: string
  pid: number
  stop(signal?: NodeJS.Signals): Promise<void>
}
const running = new Set<Running>()

/** A command on a core of its own, where there are two: servers have one, what drives them the other. */
const canPin = availableParallelism() > 1 && Bun.which('taskset') !== null
const onCore = (core: 'servers' | 'drivers', command: string[]) =>
  canPin ? ['taskset', '-c', core === 'servers' ? '1' : '0', ...command] : command

/** Starts a process and waits until it says where it listens. What it logs goes to a file, as it would in service. */
async function start(command: string[], env: Record<string, string>): Promise<Running> {
  const log = join(home, `${running.size}-${performance.now()}.log`)
  writeFileSync(log, '')
  const child = Bun.spawn(command, {
    cwd: root,
    env: { PATH: Bun.env.PATH ?? '', ...env },
    stdout: Bun.file(log),
    stderr: Bun.file(`${log}.errors`),
  })
  const server = {
    pid: child.pid,
    url: '',
    async stop(signal: NodeJS.Signals = 'SIGTERM') {
      running.delete(server)
      child.kill(signal)
      await child.exited
    },
  }
  running.add(server)
  for (;;) {
    server.url = /listens on (\S+)/.exec(await Bun.file(log).text())?.[1] ?? ''
    if (server.url) return server
    if (child.exitCode !== null) throw new Error(await Bun.file(`${log}.errors`).text())
    await Bun.sleep(2)
  }
}

const OWN = ['bun', 'index.ts']
const serve = (path: string, env: Record<string, string> = {}, command = OWN) =>
  start(command, { PORT: '0', HOST: '127.0.0.1', DATABASE_URL: path, ...SETTINGS, ...env })
/** On a core of its own, for what is compared with another server there. */
const servePinned = (path: string, env?: Record<string, string>) => serve(path, env, onCore('servers', OWN))

interface Rates {
  rate: number
  p50: number
  p99: number
}

interface Measured extends Rates {
  longest: number
  requests: number
}

/**
 * Drives `url` with wrk, or with autocannon where that is missing. Throws where a single answer was wrong or missing.
 * @param tolerated the share of answers that may be
 */
async function drive(
  url: string,
  {
    connections = 32,
    seconds = SECONDS,
    tolerated = 0,
    ...env
  }: { connections?: number; seconds?: number; tolerated?: number } & Record<string, string | number>,
): Promise<Measured> {
  const { failed, ...measured } = Bun.which('wrk')
    ? await wrk(url, connections, seconds, env)
    : await autocannon(url, connections, seconds, env)
  if (failed > tolerated * measured.requests || measured.requests === 0)
    throw new Error(`The run is void: ${failed} failed at ${url}`)
  return measured
}

async function wrk(url: string, connections: number, seconds: number, env: Record<string, string | number>) {
  const flags = ['-t1', `-c${connections}`, `-d${seconds}`, '--timeout', '30s', '-s', join(here, 'requests.lua')]
  const wrk = Bun.spawn(onCore('drivers', ['wrk', ...flags, url]), {
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])),
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const out = await new Response(wrk.stdout).text()
  const line = out.split('\n').find((line) => line.startsWith('{"rate"'))
  if (!line) throw new Error(`wrk failed: ${out}`)
  return JSON.parse(line) as Measured & { failed: number }
}

async function post<Answer>(server: Running, route: string, body: object) {
  const response = await fetch(`${server.url}/api/${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`The run is void: ${response.status} ${text}`)
  return { ...(JSON.parse(text) as Answer), bytes: text, headers: Object.fromEntries(response.headers) }
}

const megabytes = (server: Running) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) / 1024

let made = 0
const template = join(home, 'template.db')
function database(): string {
  const path = join(home, `${++made}.db`)
  copyFileSync(template, path)
  settle()
  return path
}

/** Waits for the disk: every commit of a measurement would else wait for what was written before it. */
const settle = () => Bun.spawnSync(['sync'])

/** A database with `lent` texts of 40 bytes, made by SQL alone; and a file of up to 10,000 of their codes. */
function lend(lent: number, expiresAt: number, living = lent) {
  const path = database()
  const sqlite = new Database(path)
  sqlite.run('PRAGMA journal_mode = OFF')
  sqlite.run('PRAGMA synchronous = OFF')
  sqlite.run('PRAGMA cache_size = -500000')
  // Every k-th code of the pool, spread by a multiplication, as random draws would.
  sqlite.run('CREATE TEMP TABLE drawn AS SELECT code FROM code ORDER BY random() LIMIT ?', [lent])
  sqlite.run(
    `INSERT INTO text (code, body, once, erase_token_hash, created_at, expires_at)
     SELECT code, 'a text of forty bytes, all of them ASCII.', 0, zeroblob(32), ?, CASE WHEN rowid <= ? THEN ? ELSE ? END FROM drawn`,
    [Date.now(), living, Date.now() + 24 * HOUR, expiresAt],
  )
  sqlite.run('DELETE FROM code WHERE code IN (SELECT code FROM drawn)')
  const codes = sqlite
    .query<{ code: string }, [number]>('SELECT code FROM drawn WHERE rowid <= ? ORDER BY random() LIMIT 10000')
    .all(living)
  sqlite.run('PRAGMA journal_mode = WAL')
  sqlite.close()
  const file = `${path}.codes`
  writeFileSync(file, codes.map(({ code }) => `${code}\n`).join(''))
  settle()
  return { path, codes: file }
}

async function measureLoads() {
  const server = await servePinned(database())
  const { code } = await post<{ code: string }>(server, 'write', { text: 'hello', expiresIn: 86_400 })
  const json = await post(server, 'load', { code })
  const raw = await fetch(`${server.url}/${code}`)
  const answers = {
    JSON: { body: json.bytes, headers: json.headers },
    raw: { body: await raw.text(), headers: Object.fromEntries(raw.headers) },
  }
  for (const [kind, { body, headers }] of Object.entries(answers)) {
    const { date: _, 'content-length': __, ...others } = headers
    const bare = await start(onCore('servers', ['bun', join(here, 'bare.ts'), 'http']), {
      ANSWER: JSON.stringify({ body, headers: others }),
    })
    const path = kind === 'JSON' ? '/api/load' : `/${code}`
    const target = kind === 'JSON' ? 0.4 : 0.45
    const asked = { EXPECT: body, ...(kind === 'JSON' && { BODY: JSON.stringify({ code }) }) }
    for (const connections of CONNECTIONS) {
      const ours: Measured[] = []
      const theirs: Measured[] = []
      for (const each of [server, bare]) await drive(each.url + path, { ...asked, connections, seconds: 1 })
      for (let pair = 0; pair < PAIRS; pair++) {
        ours.push(await drive(server.url + path, { ...asked, connections }))
        theirs.push(await drive(bare.url + path, { ...asked, connections }))
      }
      const ratio = ratios(
        ours.map(({ rate }) => rate),
        theirs.map(({ rate }) => rate),
      )
      report({
        what: `load, ${kind}, ${connections} connections`,
        measured: spell(ours),
        against: `bare Bun.serve: ${spell(theirs)}`,
        ratio,
        ...(connections > 1 && { target: `≥ ${target.toFixed(2)}`, isMet: ratio[0] >= target }),
      })
    }
    await bare.stop()
  }
  await server.stop()
}

const spell = (runs: Rates[]) =>
  `${n(median(runs.map(({ rate }) => rate)))}/s, p50 ${ms(median(runs.map(({ p50 }) => p50)))}, p99 ${ms(median(runs.map(({ p99 }) => p99)))}`

async function bareWrites(path: string, bytes: number): Promise<number> {
  const command = ['bun', join(here, 'bare.ts'), 'sqlite', path, String(SECONDS), String(bytes)]
  const child = Bun.spawn(onCore('servers', command))
  return Number(await new Response(child.stdout).text())
}

async function measureWrites() {
  for (const [name, bytes, counts] of [
    ['40 bytes', 40, CONNECTIONS],
    ...(isQuick
      ? []
      : ([
          ['1 kB', 1000, [32]],
          ['100 kB', 100_000, [32]],
          // One client may have 16 MiB under way.
          ['1 MiB', 1_048_576, [8]],
        ] as const)),
  ] as const) {
    const file = join(home, `${bytes}.json`)
    writeFileSync(file, JSON.stringify({ text: 'x'.repeat(bytes) }))
    const other = database()
    for (const connections of counts) {
      const server = await servePinned(database())
      const ours: Measured[] = []
      const theirs: number[] = []
      await drive(`${server.url}/api/write`, { BODY_FILE: file, connections, seconds: 1 })
      for (let pair = 0; pair < (bytes > 1000 ? 3 : PAIRS); pair++) {
        ours.push(await drive(`${server.url}/api/write`, { BODY_FILE: file, connections }))
        theirs.push(await bareWrites(other, bytes))
      }
      const ratio = ratios(
        ours.map(({ rate }) => rate),
        theirs,
      )
      report({
        what: `write, ${name}, ${connections} connections`,
        measured: spell(ours),
        against: `bare bun:sqlite, groups of 32: ${n(median(theirs))}/s`,
        ratio,
        // One connection cannot fill a group.
        ...(bytes === 40 && connections > 1 && { target: '≥ 0.65', isMet: ratio[0] >= 0.65 }),
      })
      await server.stop()
    }
  }
}

/** The stack of the project's first description, `flask/app.py` under Apache, beside our own. */
async function measureFlask() {
  const what = 'Flask, SQLAlchemy, SQLite under Apache mod_wsgi'
  const folder = join(home, 'flask')
  const env = { DATABASE: join(folder, 'flask.db'), PATH: '/usr/bin:/usr/sbin' }
  mkdirSync(folder)
  const app = join(folder, 'app.py')
  copyFileSync(join(here, 'flask/app.py'), app)
  const fill = Bun.spawnSync(['/usr/bin/python3', app, 'FILL'], { env, stderr: 'ignore' })
  const modules = '/usr/lib/apache2/modules'
  if (!fill.success || !existsSync(join(modules, 'mod_wsgi.so'))) {
    const packages = 'apache2 libapache2-mod-wsgi-py3 python3-flask-{cors,limiter,sqlalchemy}'
    return report({ what: `load beside ${what}`, measured: `it is not installed here: ${packages}` })
  }
  const port = 20_000 + (process.pid % 10_000)
  writeFileSync(
    join(folder, 'apache.conf'),
    `ServerName localhost
Listen 127.0.0.1:${port}
PidFile ${folder}/pid
ErrorLog ${folder}/error.log
${['mpm_event', 'authz_core', 'wsgi'].map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
MaxKeepAliveRequests 0
KeepAliveTimeout 60
MaxSpareThreads 1000
${userInfo().uid === 0 ? 'User www-data\nGroup www-data' : ''}
WSGIDaemonProcess saver threads=5
WSGIProcessGroup saver
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias / ${folder}/app.py
<Directory ${folder}>
Require all granted
</Directory>
`,
  )
  if (userInfo().uid === 0) Bun.spawnSync(['chown', '-R', 'www-data', folder])
  chmodSync(home, 0o755)
  const apache = Bun.spawn(
    onCore('servers', ['apache2', '-d', folder, '-f', join(folder, 'apache.conf'), '-DFOREGROUND']),
    { env, stdout: 'ignore', stderr: 'ignore' },
  )
  try {
    const theirs = `http://127.0.0.1:${port}`
    const body = JSON.stringify({ text: 'a text of forty bytes, all of them ASCII.' })
    let code = ''
    for (let tries = 0; !code; tries++) {
      const signal = AbortSignal.timeout(1000)
      const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal }
      const answer = await fetch(`${theirs}/write`, request).catch(() => undefined)
      if (answer?.ok) code = ((await answer.json()) as { code: string }).code
      else if (tries > 100)
        throw new Error(`Apache does not answer: ${readFileSync(join(folder, 'error.log'), 'utf8')}`)
      else await Bun.sleep(100)
    }
    const server = await servePinned(database())
    const own = await post<{ code: string }>(server, 'write', JSON.parse(body))
    const written = '"code":"'
    for (const { name, ours, asked, with: how } of [
      { name: 'load', ours: `${server.url}/${own.code}`, asked: `${theirs}/load/${code}`, with: {} },
      {
        name: 'write',
        ours: `${server.url}/api/write`,
        asked: `${theirs}/write`,
        with: { BODY: body, WRITTEN: written },
      },
    ]) {
      const rates: [number[], number[]] = [[], []]
      for (let pair = 0; pair <= PAIRS; pair++) {
        // Apache sometimes closes a connection on which a request is under way, and a slow machine has few requests.
        const [one, other] = [await drive(ours, how), await drive(asked, { ...how, tolerated: 0.005 })]
        if (pair === 0) continue // It warms up.
        rates[0].push(one.rate)
        rates[1].push(other.rate)
      }
      const ratio = ratios(...rates)
      report({
        what: `${name}, 32 connections`,
        measured: `${n(median(rates[0]))}/s`,
        against: `${what}: ${n(median(rates[1]))}/s`,
        ratio,
        ...(name === 'load' && { target: '≥ 25', isMet: ratio[0] >= 25 }),
      })
    }
    await server.stop()
  } finally {
    apache.kill()
    await apache.exited
  }
}

/** From one console to another by four letters, and by magic-wormhole with a mailbox server of its own. */
async function measureWormhole() {
  const what = 'a text from one console to another'
  if (!Bun.which('wormhole') || !Bun.which('twistd3')) {
    const packages = 'magic-wormhole python3-magic-wormhole-mailbox-server'
    return report({ what: `${what}, beside magic-wormhole`, measured: `it is not installed here: ${packages}` })
  }
  const port = 30_000 + (process.pid % 10_000)
  const mailbox = Bun.spawn(
    [
      'twistd3',
      '-n',
      '--pidfile=',
      'wormhole-mailbox',
      `--port=tcp:${port}:interface=127.0.0.1`,
      '--channel-db=:memory:',
      '--usage-db=:memory:',
    ],
    {
      cwd: home,
      stdout: 'ignore',
      stderr: 'ignore',
    },
  )
  const server = await serve(database())
  const run = async (command: string[]) => {
    const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'ignore' })
    return (await new Response(child.stdout).text()).trim()
  }
  try {
    while (!(await fetch(`http://127.0.0.1:${port}`).catch(() => undefined))) await Bun.sleep(50)
    const relay = ['wormhole', `--relay-url=ws://127.0.0.1:${port}/v1`, '--transit-helper=']
    const [ours, theirs]: [number[], number[]] = [[], []]
    for (let i = 0; i < PAIRS; i++) {
      const started = performance.now()
      const code = await run(['curl', '-s', '--data-binary', `hello ${i}`, server.url])
      const got = await run(['curl', '-s', `${server.url}/${code}`])
      const between = performance.now()
      const secret = `${i + 1}-purple-sausages`
      const sending = run([...relay, 'send', '--text', `hello ${i}`, '--code', secret])
      const received = await run([...relay, 'receive', '--accept-file', secret])
      theirs.push(performance.now() - between)
      ours.push(between - started)
      await sending
      if (got !== `hello ${i}` || received !== got) throw new Error(`The run is void: ${got}, ${received}`)
    }
    report({
      what,
      measured: `curl, twice: ${ms(median(ours))}`,
      against: `magic-wormhole: ${ms(median(theirs))}`,
      ratio: ratios(ours, theirs),
    })
  } finally {
    mailbox.kill()
    await mailbox.exited
    await server.stop()
  }
}

async function measureMixed() {
  const server = await servePinned(database())
  const { code } = await post<{ code: string }>(server, 'write', { text: 'hello' })
  const runs: Measured[] = []
  for (let i = 0; i < PAIRS; i++) {
    runs.push(
      await drive(`${server.url}/api/load`, {
        BODY: JSON.stringify({ code }),
        WRITE: '{"text":"a text of forty bytes, all of them ASCII."}',
      }),
    )
  }
  report({ what: 'nine loads to a write, 32 connections', measured: spell(runs) })
  await server.stop()
}

async function measurePasswords() {
  const hashes: number[] = []
  for (let i = 0; i < 5; i++) {
    const started = performance.now()
    await Bun.password.hash('secret', { algorithm: 'argon2id', memoryCost: 65_536, timeCost: 2 })
    hashes.push(performance.now() - started)
  }
  const most = (availableParallelism() * 1000) / median(hashes)
  const server = await serve(database(), { CLIENT_IP_HEADER: 'x-client' }) // Each client has a share of the hashes.
  const plain = await post<{ code: string }>(server, 'write', { text: 'hello' })
  const locked = await post<{ code: string }>(server, 'write', { text: 'hello', password: 'secret' })
  const ask = { BODY: JSON.stringify({ code: plain.code }), connections: 1 }
  const load = `${server.url}/api/load`
  await drive(load, ask)
  for (const [what, route, body] of [
    ['load with password', 'load', { code: locked.code, password: 'secret' }],
    ['write with password', 'write', { text: 'hello', password: 'secret' }],
  ] as const) {
    const idle = await drive(load, ask)
    const hashing = drive(`${server.url}/api/${route}`, {
      BODY: JSON.stringify(body),
      SPREAD: 8,
      connections: 8,
      seconds: 3 * SECONDS,
    })
    await Bun.sleep(300)
    const meanwhile = await drive(load, { ...ask, seconds: 2 * SECONDS })
    const hashed = await hashing
    report({
      what: `${what}, 8 connections, while another loads`,
      measured: `${hashed.rate.toFixed(1)}/s`,
      against: `cores ÷ one hash of ${ms(median(hashes))}: ${most.toFixed(1)}/s`,
      ratio: [hashed.rate / most, hashed.rate / most, hashed.rate / most],
    })
    const times = meanwhile.p50 / idle.p50
    report({
      what: `plain loads meanwhile`,
      measured: `p50 ${ms(meanwhile.p50)}, p99 ${ms(meanwhile.p99)}`,
      against: `idle: p50 ${ms(idle.p50)}, p99 ${ms(idle.p99)}`,
      ratio: [times, times, times],
      target: '≤ 3',
      isMet: times <= 3,
    })
  }
  await server.stop()
}

async function measureStart() {
  const path = database()
  const times: number[] = []
  for (let i = 0; i < (isQuick ? 1 : 7); i++) {
    const started = performance.now()
    const server = await serve(path)
    await fetch(`${server.url}/health`)
    times.push(performance.now() - started)
    await server.stop()
  }
  report({
    what: 'start, existing database',
    measured: ms(median(times)),
    target: '< 300 ms',
    isMet: median(times) < 300,
  })
  const started = performance.now()
  const server = await serve(join(home, 'new.db'))
  const took = performance.now() - started
  report({ what: 'start, new database', measured: ms(took), target: '< 5 s', isMet: took < 5000 })
  report({ what: 'memory, idle after a new start', measured: `${n(megabytes(server))} MB` })
  await server.stop()
}

async function measurePage() {
  const server = await serve(database())
  const bytes = async (path: string) => {
    const answer = await fetch(server.url + path, { headers: { 'accept-encoding': 'gzip' }, decompress: false })
    return Buffer.from(await answer.arrayBuffer())
  }
  const sizes = new Map<string, number>()
  for (const waiting = ['/']; waiting.length > 0; ) {
    const path = waiting.pop() ?? '/'
    if (sizes.has(path)) continue
    const body = await bytes(path)
    sizes.set(path, body.length)
    if (path.endsWith('.js')) continue // What a script names is fetched with the first password, or the first press of Receive.
    const text = body[0] === 0x1f ? Bun.gunzipSync(new Uint8Array(body)) : body
    waiting.push(
      ...(Buffer.from(text)
        .toString()
        .match(/\/assets\/[\w.-]+/g) ?? []),
    )
  }
  const size = sizes.values().reduce((sum, each) => sum + each, 0)
  report({
    what: `page, ${sizes.size} files, gzip`,
    measured: `${(size / 1000).toFixed(1)} kB`,
    target: '< 40 kB',
    isMet: size < 40_000,
  })
  await server.stop()
}

/** What a person waits for: from the press to the code, and from the password to the text, each in a page that is new. */
async function measureSealed() {
  const server = await serve(database())
  for (const browser of ['chrome', 'firefox'] as const) {
    const name = browser === 'chrome' ? 'Chromium' : 'Firefox'
    const executablePath = browser === 'chrome' ? Bun.which('chromium') : Bun.which('firefox-esr')
    if (!executablePath) {
      report({ what: `sealed text, ${name}`, measured: 'it is not here' })
      continue
    }
    const running = await puppeteer.launch({
      browser,
      executablePath,
      args: browser === 'chrome' ? ['--no-sandbox'] : [],
    })
    for (const [size, bytes] of [
      ['1 kB', 1000],
      ['1 MiB', 1_048_576],
    ] as const) {
      const [writing, reading]: number[][] = [[], []]
      for (let i = 0; i < PAIRS; i++) {
        const writer = await running.newPage()
        await writer.goto(server.url)
        await writer.waitForSelector('[data-ready]')
        const [seconds, code] = await writer.evaluate(async (bytes) => {
          const fill = (id: string, value: string) => {
            const field = document.getElementById(id) as HTMLInputElement
            field.value = value
            field.dispatchEvent(new Event('input', { bubbles: true }))
          }
          const random = Array.from({ length: bytes }, () => Math.random().toString(36)[2] ?? 'x').join('')
          fill('write-text', random)
          fill('write-password', 'kamasotohiponuya')
          const written = document.getElementById('written-code') as HTMLElement
          const started = performance.now()
          document.querySelector<HTMLFormElement>('#write-form')?.requestSubmit()
          while (!written.textContent) await new Promise(requestAnimationFrame)
          return [performance.now() - started, written.textContent] as const
        }, bytes)
        const reader = await running.newPage()
        await reader.goto(`${server.url}/#${code}`)
        await reader.waitForSelector('[data-ready]')
        await reader.evaluate(() => document.querySelector<HTMLFormElement>('#load-form')?.requestSubmit())
        await reader.waitForSelector('#load-password-row:not([hidden])')
        reading?.push(
          await reader.evaluate(async () => {
            const password = document.getElementById('load-password') as HTMLInputElement
            password.value = 'kamasotohiponuya'
            const loaded = document.getElementById('loaded') as HTMLElement
            const started = performance.now()
            document.querySelector<HTMLFormElement>('#load-form')?.requestSubmit()
            while (loaded.hidden) await new Promise(requestAnimationFrame)
            return performance.now() - started
          }),
        )
        writing?.push(seconds)
        await Promise.all([writer.close(), reader.close()])
      }
      report({
        what: `sealed text of ${size}, ${name}`,
        measured: `press to code ${ms(median(writing ?? []))}, password to text ${ms(median(reading ?? []))}`,
      })
    }
    await running.close()
  }
  await server.stop()
}

async function measureMemory() {
  const { path, codes } = lend(isQuick ? 10_000 : 1_000_000, 0)
  const server = await serve(path, { CLIENT_IP_HEADER: 'x-client' })
  await fetch(`${server.url}/health`)
  await Bun.sleep(1000)
  const idle = megabytes(server)
  report({ what: 'memory, idle', measured: `${n(idle)} MB`, target: '< 120 MB', isMet: idle < 120 })
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, megabytes(server))
  }, 50)
  const text = '{"text":"a text of forty bytes, all of them ASCII."}'
  for (let i = 0; i < (isQuick ? 1 : 2); i++) {
    await drive(`${server.url}/api/load`, { CODES: codes, connections: 256, seconds: isQuick ? 1 : 10 })
    await drive(`${server.url}/api/write`, { BODY: text, connections: 256, seconds: isQuick ? 1 : 10 })
  }
  const name = isQuick ? 'ten thousand' : 'a million'
  report({
    what: `memory, ${name} live texts, under load`,
    measured: `${n(most)} MB`,
    target: '< 256 MB',
    isMet: most < 256,
  })
  if (!isQuick) {
    let clients = 0
    const [code] = (await Bun.file(codes).text()).split('\n')
    while (clients < 1_000_000) {
      clients += (await drive(`${server.url}/api/load`, { BODY: JSON.stringify({ code }), CLIENTS: '1', seconds: 10 }))
        .requests
    }
    const afterwards = megabytes(server)
    report({
      what: 'memory, after a million clients',
      measured: `${n(afterwards)} MB`,
      target: '< 256 MB',
      isMet: afterwards < 256,
    })
  }
  clearInterval(watch)
  await server.stop()
}

/** The longest load of the text `a` at `url` until `work` is done, each by another client, in milliseconds. */
async function longestLoad(url: string, work: Promise<unknown>, each = () => {}) {
  let [longest, isOver] = [0, false]
  const end = () => {
    isOver = true
  }
  work.then(end, end)
  for (let i = 0; !isOver; i++) {
    const asked = performance.now()
    const response = await fetch(url, { headers: { 'x-client': `203.0.${i % 200}.1` } })
    if ((await response.text()) !== 'a') throw new Error(`The run is void: ${response.status}`)
    longest = Math.max(longest, performance.now() - asked)
    each()
    await Bun.sleep(2)
  }
  await work
  return longest
}

/** One address sends JSON that takes the longest to parse, a minute's worth of it at once; others load a text meanwhile. */
async function measureWorst() {
  const server = await serve(database(), { CLIENT_IP_HEADER: 'x-client', REQUESTS_PER_MINUTE: '120' })
  const { code } = await post<{ code: string }>(server, 'write', { text: 'a' })
  const bodies = [
    `{${'"k":1,'.repeat(1_000_000)}"z":1}`,
    `{"a":[${'{},'.repeat(2_000_000)}{}]}`,
    '['.repeat(3_000_000) + ']'.repeat(3_000_000),
    `{"text":"${'\\u0000'.repeat(1_000_000)}"}`,
  ]
  let sent = 0
  const attack = Array.from({ length: 8 }, async () => {
    while (sent < 120) {
      const body = bodies[sent++ % bodies.length]
      const headers = { 'content-type': 'application/json', 'x-client': '192.0.2.1' }
      await (await fetch(`${server.url}/api/write`, { method: 'POST', headers, body })).text()
    }
  })
  let most = 0
  const longest = await longestLoad(`${server.url}/${code}`, Promise.all(attack), () => {
    most = Math.max(most, megabytes(server))
  })
  report({
    what: 'longest load while one address does its worst',
    measured: ms(longest),
    target: '< 100 ms',
    isMet: longest < 100,
  })
  report({ what: 'memory meanwhile', measured: `${n(most)} MB`, target: '< 400 MB', isMet: most < 400 })
  await server.stop()
}

/** Thousands arrive to wait for a text, wait, and are given it; others load a text meanwhile. */
async function measureWaiters() {
  const waiters = isQuick ? 500 : 5000
  const server = await serve(database(), { CLIENT_IP_HEADER: 'x-client' })
  const { code } = await post<{ code: string }>(server, 'write', { text: 'a' })
  const others = Bun.spawn(['bun', join(here, 'waiters.ts'), server.url, String(waiters)], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const lines = others.stdout.pipeThrough(new TextDecoderStream()).getReader()
  const hears = async (line: string) => {
    if ((await lines.read()).value?.trim() !== line) throw new Error(`The run is void: not ${line}`)
  }
  const during = (work: Promise<unknown>) => longestLoad(`${server.url}/${code}`, work)
  const goOn = () => others.stdin.write('\n')
  await hears('taken')
  const idle = await during(Bun.sleep(5000))
  const before = megabytes(server)
  goOn()
  const arriving = await during(hears('waiting').then(() => Bun.sleep(2000))) // The server may be behind.
  const waiting = await during(Bun.sleep(isQuick ? 1000 : 15_000))
  const memory = megabytes(server)
  goOn()
  const going = await during(hears('done'))
  report({
    what: `longest load while ${n(waiters)} wait for a text`,
    measured: `${ms(waiting)}; while they arrive all at once ${ms(arriving)}, while each is written to ${ms(going)}`,
    against: `before: ${ms(idle)}`,
  })
  report({ what: 'memory meanwhile', measured: `${n(memory)} MB; before ${n(before)} MB` })
  await others.exited
  await server.stop()
}

async function measureGrowth() {
  const sizes = [1000, 1_000_000, 5_000_000, 7_238_497].map((lent) => ({
    lent,
    ...lend(lent, 0),
    loads: [] as number[],
    writes: [] as number[],
  }))
  const servers: Running[] = []
  for (const { path } of sizes) {
    servers.push(await servePinned(path))
  }
  for (let pair = 0; pair <= PAIRS; pair++) {
    for (const [i, size] of sizes.entries()) {
      const url = servers[i]?.url
      const load = await drive(`${url}/api/load`, { CODES: size.codes })
      const write = await drive(`${url}/api/write`, { BODY: '{"text":"a text of forty bytes, all of them ASCII."}' })
      if (pair === 0) continue // It warms up.
      size.loads.push(load.rate)
      size.writes.push(write.rate)
    }
  }
  for (const server of servers) await server.stop()
  const [small] = sizes
  if (!small) return
  for (const { lent, path, loads, writes } of sizes) {
    const started = performance.now()
    const server = await serve(path)
    const took = performance.now() - started
    await server.stop()
    using sqlite = new Database(path)
    const draw = sqlite.query(
      'SELECT code FROM code WHERE code >= ? AND (rests_until IS NULL OR rests_until <= 0) ORDER BY code LIMIT 1',
    )
    const drawn = performance.now()
    for (let i = 0; i < 1000; i++) draw.get(String.fromCharCode(65 + (i % 26)).repeat(4))
    const drawing = performance.now() - drawn
    const isTarget = lent === 5_000_000
    for (const [what, rates, base] of [
      ['load', loads, small.loads],
      ['write', writes, small.writes],
    ] as const) {
      const ratio = ratios(rates, base)
      report({
        what: `${what}, ${n(lent)} live texts${lent > 7e6 ? ' (99 % of the pool)' : ''}`,
        measured: `${n(median(rates))}/s`,
        against: `a thousand: ${n(median(base))}/s`,
        ratio,
        ...(isTarget && { target: '≥ 0.80', isMet: ratio[0] >= 0.8 }),
      })
    }
    report({
      what: `the same: start; draw of a code; file`,
      measured: `${ms(took)}; ${drawing.toFixed(1)} µs; ${n(statSync(path).size / 1e6)} MB`,
    })
  }
}

async function measureSweep() {
  const longestOf = (server: Running, codes: string) => async () =>
    (await drive(`${server.url}/api/load`, { CODES: codes, connections: 4, seconds: 5 })).longest
  // What a new server needs until it is warm, sweep or not.
  const calm = lend(1000, 0)
  const other = await serve(calm.path)
  const fresh = await longestOf(other, calm.codes)()
  await other.stop()

  const { path, codes } = lend(1_001_000, 1, 1000)
  const server = await serve(path)
  const longest = longestOf(server, codes)
  using sqlite = new Database(path, { readonly: true })
  const left = sqlite.query<{ n: number }, []>('SELECT count(*) AS n FROM text')
  const during: number[] = []
  do during.push(await longest())
  while ((left.get()?.n ?? 0) > 1000)
  await Bun.sleep(5000) // The file is cleared after the last text is deleted.
  const after: number[] = []
  for (const _ of during) after.push(await longest())
  report({
    what: 'longest load while a million expired texts are swept',
    measured: `${ms(Math.max(...during))}; per 5 s: ${during.map(Math.round).join(' ')}`,
    against: `as long without a sweep: ${ms(Math.max(...after))}; the first 5 s of a server without one: ${ms(fresh)}`,
    target: '≤ 50 ms',
    isMet: Math.max(...during) <= 50,
  })
  await server.stop()
}

/** Servers on one PostgreSQL, each with a wrk of its own; against pgbench over as many connections as they have together. */
async function measurePostgres() {
  if (isMissing || !Bun.which('pgbench')) return console.error('PostgreSQL, or its pgbench, is not installed: no rows.')
  const seconds = isQuick ? 1 : 2
  const url = await (await getCluster()).database('empty')
  const begin = () => serve(url, { CLIENT_IP_HEADER: 'x-client' }) // With 10 connections, the default.
  const first = await begin() // It fills the pool.
  const counts = isQuick ? [1] : [1, 2, 4]
  const servers = [first]
  while (servers.length < Math.max(...counts)) servers.push(await begin())

  const text = 'a text of forty bytes, all of them ASCII'
  const now = Date.now()
  const later = now + 24 * HOUR
  query(
    url,
    `WITH lent AS (DELETE FROM code WHERE code ~ '^[A-Z]{2}AA$' RETURNING code),
      counted AS (UPDATE stored SET texts = n, bytes = 40 * n FROM (SELECT count(*) AS n FROM lent) AS lent WHERE part = 0)
     INSERT INTO text (code, body, once, erase_token_hash, created_at, expires_at)
     SELECT code, ?::bytea, false, decode(repeat('01', 32), 'hex'), ?, ? FROM lent`,
    ...[text, now, later],
  )
  query(url, 'VACUUM ANALYZE')
  query(url, 'CHECKPOINT')
  const lent = query<{ code: string }>(url, 'SELECT code FROM text ORDER BY random()').map(({ code }) => code)
  const codes = join(home, 'postgres.codes')
  writeFileSync(codes, lent.map((code) => `${code}\n`).join(''))
  let stored = lent.length

  const { bytes } = await post(first, 'load', { code: lent[0] })
  const asked = { load: { CODES: codes, EXPECT: bytes }, write: { BODY: JSON.stringify({ text }) } }

  for (const kind of ['load', 'write'] as const) {
    const runs = counts.map((processes) => ({ processes, ours: [] as Rates[], theirs: [] as number[] }))
    const bare = ['pgbench', '-n', '-M', 'prepared', '-T', `${seconds}`, '-f', join(here, `${kind}.sql`)]
    bare.push('-D', `now=${now}`, '-D', `later=${later}`, '-D', `max=${SETTINGS.MAX_STORED_BYTES}`, url)
    for (let pair = 0; pair <= PAIRS; pair++) {
      for (const { processes, ours, theirs } of runs) {
        const driven = await Promise.all(
          servers
            .slice(0, processes)
            .map((server) => drive(`${server.url}/api/${kind}`, { ...asked[kind], SPREAD: 1000, seconds })),
        )
        const said = await Bun.$`${bare} -c ${10 * processes}`.quiet().text()
        const [done, rate] = [/processed: (\d+)/, /tps = (\S+)/].map((part) => Number(part.exec(said)?.[1]))
        if (kind === 'write') stored += driven.reduce((sum, { requests }) => sum + requests, done ?? 0)
        if (pair === 0) continue // It warms up.
        ours.push({
          rate: driven.reduce((sum, { rate }) => sum + rate, 0),
          p50: median(driven.map(({ p50 }) => p50)),
          p99: Math.max(...driven.map(({ p99 }) => p99)),
        })
        theirs.push(rate ?? Number.NaN)
      }
    }
    for (const { processes, ours, theirs } of runs) {
      const ratio = ratios(
        ours.map(({ rate }) => rate),
        theirs,
      )
      report({
        what: `PostgreSQL: ${kind}, servers: ${processes}`,
        measured: spell(ours),
        against: `pgbench, ${10 * processes} connections: ${n(median(theirs))}/s`,
        ratio,
        target: '≥ 0.80',
        isMet: ratio[0] >= 0.8,
      })
    }
  }
  for (const server of servers) await server.stop()
  checkInvariant(url, CODES)
  const [kept] = query<{ texts: number }>(url, 'SELECT count(*) AS texts FROM text')
  if (!kept || !(kept.texts >= stored))
    throw new Error(`The run is void: ${stored} texts were stored, ${kept?.texts} are there`)
}

let ending: Promise<void> | undefined
async function cleanUp() {
  await Promise.all([...running].map((server) => server.stop('SIGKILL')))
  rmSync(home, { recursive: true, force: true })
  await stopCluster()
}
/** Once, though a signal is often followed by the failure of what it interrupted. */
const end = () => {
  ending ??= cleanUp()
  return ending
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end().finally(() => process.exit(1)))

try {
  await (await openStore(template, { codeRestSeconds: 0, maxTexts: 0, maxStoredBytes: 0 })).close()
  console.log('| what | measured | against | ratio: median (spread) | target | |\n|---|---|---|---|---|---|')
  const measures = {
    loads: measureLoads,
    writes: measureWrites,
    flask: measureFlask,
    wormhole: measureWormhole,
    mixed: measureMixed,
    passwords: measurePasswords,
    start: measureStart,
    page: measurePage,
    sealed: measureSealed,
    memory: measureMemory,
    worst: measureWorst,
    waiters: measureWaiters,
    postgres: measurePostgres,
    ...(!isQuick && { sweep: measureSweep, growth: measureGrowth }),
  }
  const names = Object.keys(measures).filter((name) => chosen.includes(name))
  for (const [name, measure] of Object.entries(measures)) {
    if (names.length === 0 || names.includes(name)) await measure()
  }
  mkdirSync(join(root, 'dist'), { recursive: true })
  writeFileSync(join(root, 'dist/bench.json'), `${JSON.stringify({ cores: availableParallelism(), rows }, null, 2)}\n`)
} finally {
  await end()
}
