/** The files for Caddy, nginx and Apache, each in front of the real server: the real programs, with certificates of their own making. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ReverseProxy } from './support/caddy.ts'
import { poll } from './support/poll.ts'
import { type Server, start, stopAll } from './support/processes.ts'
import { PROXIES } from './support/proxies.ts'
import { filledDatabase, temporaryPath } from './support/support.ts'

const WWW = 'www.texts.test'
/** Where requests come from: what logs it has said more than they may. */
const CLIENT = '127.0.0.2'

describe.each(PROXIES)('behind $name', ({ name, isMissing, start: startProxy, waits, limits, offersHttp3 }) => {
  if (isMissing) return test.skip(`(${name} is not installed)`, () => {})

  let [http, https, upstream] = [0, 0, 0]
  let proxy: ReverseProxy
  let server: Server
  let database: string

  /** curl through the proxy, as if the domain were in the DNS. */
  async function curl(...args: string[]) {
    const hosts = [WWW, 'texts.test'].flatMap(proxy.resolve)
    const headers = temporaryPath('headers')
    const process = Bun.spawn(['curl', '-sk', '--interface', CLIENT, '--dump-header', headers, ...hosts, ...args])
    const body = await new Response(process.stdout).text()
    const [head = ''] = (
      await Bun.file(headers)
        .text()
        .catch(() => '')
    )
      .trim()
      .split('\r\n\r\n')
      .slice(-1)
    const [line = '', ...rest] = head.split('\r\n')
    const fields = new Headers(rest.map((field) => field.split(/: (.*)/, 2) as [string, string]))
    return { protocol: line.split(' ')[0], status: Number(line.split(' ')[1]), headers: fields, body }
  }

  const at = (path: string) => `https://${WWW}:${https}${path}`

  /** Writes a text; returns its code. */
  const write = async (text: string) => (await curl('--data-binary', text, at('/'))).body.trim()

  /** Sends `content` in curl's way for what is large; `args` say how. */
  async function send(content: string | Uint8Array, ...args: string[]) {
    const file = temporaryPath('body')
    await Bun.write(file, content)
    return curl('--data-binary', `@${file}`, ...args)
  }

  const environment = () => ({
    MISSES_PER_HOUR: '3',
    PORT: String(upstream),
    CLIENT_IP_HEADER: 'X-Forwarded-For',
    PUBLIC_URL: `https://${WWW}`,
  })

  beforeAll(async () => {
    database = await filledDatabase()
    server = await start(database, environment())
    upstream = Number(new URL(server.url).port)
    proxy = await startProxy('texts.test', server.url)
    ;({ http, https } = proxy)
  })
  afterAll(async () => {
    await proxy?.stop()
    await stopAll()
  })

  test('http leads to https, and the bare domain to www', async () => {
    const secure = await curl(`http://${WWW}:${http}/a%20b?b=c%20d`)
    expect([secure.status, secure.headers.get('location')]).toEqual([308, `https://${WWW}/a%20b?b=c%20d`])
    const bare = await curl(`https://texts.test:${https}/a%20b?b=c%20d`)
    expect([bare.status, bare.headers.get('location')]).toEqual([301, `https://${WWW}/a%20b?b=c%20d`])
    expect(bare.headers.get('strict-transport-security')).toBe('max-age=31536000')
  })

  test('Safari keeps no redirect, and with it no code, and meets no header that HTTP/2 forbids', async () => {
    // https://bugs.webkit.org/show_bug.cgi?id=255924: what stood behind the # of the first request came back with a kept redirect.
    const code = await write('a')
    const redirects = [
      await curl(`http://${WWW}:${http}/`),
      await curl(`https://texts.test:${https}/`),
      await curl('-H', 'Accept: text/html', at(`/${code}`)),
    ]
    for (const { status, headers } of redirects) {
      expect(status).toBeWithin(301, 309)
      expect(headers.get('cache-control')).toBe('no-store')
    }
    expect(redirects.map(({ headers }) => headers.get('location'))).toEqual([
      `https://${WWW}/`,
      `https://${WWW}/`,
      `https://${WWW}/#${code}`,
    ])
    for (const protocol of ['--http1.1', '--http2']) {
      const page = await curl(protocol, at('/'))
      expect([page.status, page.headers.get('upgrade')]).toEqual([200, null])
    }
  })

  test('the page comes over HTTP/2, compressed, once with HSTS', async () => {
    const page = await curl('--compressed', at('/'))
    expect([page.protocol, page.status]).toEqual(['HTTP/2', 200])
    expect(page.body).toContain('<title')
    expect(page.headers.get('content-encoding')).toMatch(/^(zstd|gzip)$/)
    expect(page.headers.get('strict-transport-security')).toBe('max-age=31536000')
    if (offersHttp3) expect(page.headers.get('alt-svc')).toContain('h3=')
    expect(page.headers.get('server') ?? '').not.toMatch(/\d/)
    const code = await write('again and again '.repeat(1000))
    const text = await curl('--compressed', at(`/${code}`))
    expect(text.headers.get('content-encoding')).toMatch(/^(zstd|gzip)$/)
    expect(text.body).toBe('again and again '.repeat(1000))
  })

  test('the proxy and the server agree on the largest body', async () => {
    // A text of the largest size in its longest spelling, and white space up to the limit of both.
    const json = JSON.stringify({ text: '\0'.repeat(1_048_576) })
    const [type, url] = ['Content-Type: application/json', at('/api/write')]
    const largest = 6 * 1_048_576 + 16_384
    for (const how of [[], ['-H', 'Transfer-Encoding: chunked', '--http1.1']]) {
      expect((await send(json.padEnd(largest), '-H', type, ...how, url)).status).toBe(201)
      const { status, body } = await send(json.padEnd(largest + 1), '-H', type, ...how, url)
      expect(status).toBe(413)
      const isRefusedBefore = limits === 'every body' || (limits === 'unannounced ones' && how.length > 0)
      expect([how, body.includes('text_too_large')]).toEqual([how, !isRefusedBefore])
    }
  })

  test('the largest text goes and comes byte for byte, and what the server refuses arrives in its words', async () => {
    const noise = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(48)))).repeat(16_384)
    const written = await send(noise, at('/'))
    expect([noise.length, written.status]).toEqual([1_048_576, 201])
    expect((await curl(at(`/${written.body.trim()}`))).body).toBe(noise)
    const refused = await send(`${noise}a`, at('/'))
    expect([refused.status, refused.body]).toEqual([413, expect.stringContaining('1,048,576 bytes')])
  })

  test.each([
    ['over HTTP/2', []],
    ['over HTTP/1.1', ['--http1.1']],
    ['compressed', ['--compressed']],
  ])('who receives %s sees the code at once, and the text when it comes', async (_, how) => {
    const curlIt = ['curl', '-skN', ...proxy.resolve(WWW), ...how, '-d', '', at('/receive')]
    const lines = Bun.spawn(curlIt).stdout.pipeThrough(new TextDecoderStream()).getReader()
    const code = (await lines.read()).value?.trim()
    expect(code).toMatch(/^[A-Za-z]{4}$/)
    expect((await curl('--data-binary', 'there it is', at(`/${code}`))).status).toBe(201)
    expect((await lines.read()).value).toBe('there it is')
    expect((await lines.read()).done).toBeTrue()
  })

  test('the logs hold no code, no query and no address, and the server’s log has the request id', async () => {
    const lines = () => readFileSync(proxy.log, 'utf8').trim().split('\n')
    const before = lines().length
    const code = await write('a')
    const secret = btoa(':the-password')
    await curl(`https://texts.test:${https}/${code}?from=mars`)
    await curl('-H', `Authorization: Basic ${secret}`, at(`/${code}?from=mars`))
    await curl(at(`/%20${code}`))
    const entries = await poll('the log', async () => lines().length >= before + 3 && lines())
    expect(entries.at(-1)).toContain('127.0.0.0')
    expect(entries.at(-1)).toMatch(/\bGET\b.*\b200\b/)
    await server.stop()
    expect(await server.output()).toMatch(/"id":"[0-9a-f-]{32,64}","method":"GET","route":"\/:code"/)
    // Nor when nobody answers.
    expect((await curl('-d', 'a', at(`/${code}?from=mars`))).status).not.toBe(200)
    server = await start(database, environment())
    expect(await write('logged after all of that')).toMatch(/^[A-Za-z]{4}$/)
    for (const file of new Bun.Glob('*.log').scanSync({ cwd: dirname(proxy.log), absolute: true })) {
      for (const word of [code, 'mars', secret, CLIENT])
        expect([file, readFileSync(file, 'utf8')]).not.toEqual([file, expect.stringContaining(word)])
    }
  })

  test('a restart of the server makes loads wait, or fail no longer than it takes', async () => {
    const code = await write('loaded meanwhile')
    await server.stop()
    const meanwhile = curl(at(`/${code}`))
    if (!waits) expect((await meanwhile).status).toBeWithin(502, 504)
    server = await start(database, environment())
    expect(await write('written at once')).toMatch(/^[A-Za-z]{4}$/)
    expect(await (waits ? meanwhile : curl(at(`/${code}`)))).toMatchObject({ status: 200, body: 'loaded meanwhile' })
  })

  test('a client cannot pretend to be another', async () => {
    const ask = (i: number) => curl('-H', `X-Forwarded-For: 198.51.100.${i}`, at(`/zzz${'abcd'[i]}`))
    for (let i = 0; i < 3; i++) expect((await ask(i)).status).toBe(404)
    expect((await ask(3)).status).toBe(429)
  })
})

test('Traefik’s file names nothing that is not in it, and leads to where the server listens', async () => {
  interface Router {
    middlewares: string[]
    service: string
  }
  interface Service {
    loadBalancer: { servers: { url: string }[]; serversTransport: string; healthCheck: { path: string } }
  }
  const { http } = Bun.YAML.parse(await Bun.file('proxies/traefik.yaml').text()) as {
    http: Record<'routers', Record<string, Router>> &
      Record<'services', Record<string, Service>> &
      Record<string, object>
  }
  for (const { middlewares, service } of Object.values(http.routers)) {
    expect(Object.keys(http.middlewares ?? {})).toEqual(expect.arrayContaining(middlewares))
    expect(http.services).toHaveProperty(service)
  }
  for (const { loadBalancer } of Object.values(http.services)) {
    expect(loadBalancer).toMatchObject({
      servers: [{ url: 'http://127.0.0.1:3000' }],
      healthCheck: { path: '/health' },
    })
    expect(http.serversTransports).toHaveProperty(loadBalancer.serversTransport)
  }
})
