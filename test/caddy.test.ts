/** The Caddyfile, in front of the real server: real Caddy, with certificates of its own making. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { type Caddy, isMissing, startCaddy } from './support/caddy.ts'
import { poll } from './support/poll.ts'
import { type Server, start, stopAll } from './support/processes.ts'
import { filledDatabase, temporaryPath } from './support/support.ts'

const WWW = 'www.texts.test'

describe.skipIf(isMissing)(`behind Caddy${isMissing ? ' (skipped: it is not installed)' : ''}`, () => {
  let [http, https, upstream] = [0, 0, 0]
  let caddy: Caddy
  let server: Server
  let database: string

  /** curl through Caddy, as if the domain were in the DNS. */
  async function curl(...args: string[]) {
    const hosts = [WWW, 'texts.test'].flatMap(caddy.resolve)
    const headers = temporaryPath('headers')
    const process = Bun.spawn(['curl', '--silent', '--insecure', '--dump-header', headers, ...hosts, ...args])
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

  /** Writes a text; returns its code. */
  const write = async (text: string) => (await curl('--data-binary', text, `https://${WWW}:${https}/`)).body.trim()

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
    caddy = await startCaddy('texts.test', server.url)
    ;({ http, https } = caddy)
  })
  afterAll(async () => {
    await caddy?.stop()
    await stopAll()
  })

  test('http leads to https, and the bare domain to www', async () => {
    const secure = await curl(`http://${WWW}:${http}/a?b=c`)
    expect([secure.status, secure.headers.get('location')]).toEqual([308, `https://${WWW}/a?b=c`])
    const bare = await curl(`https://texts.test:${https}/a?b=c`)
    expect([bare.status, bare.headers.get('location')]).toEqual([301, `https://${WWW}/a?b=c`])
    expect(bare.headers.get('strict-transport-security')).toBe('max-age=31536000')
  })

  test('the page comes over HTTP/2, compressed, once with HSTS, and offers HTTP/3', async () => {
    const page = await curl('--compressed', `https://${WWW}:${https}/`)
    expect([page.protocol, page.status]).toEqual(['HTTP/2', 200])
    expect(page.body).toContain('<title')
    expect(page.headers.get('content-encoding')).toMatch(/^(zstd|gzip)$/)
    expect(page.headers.get('strict-transport-security')).toBe('max-age=31536000')
    expect(page.headers.get('alt-svc')).toContain('h3=')
    expect(page.headers.get('server')).toBeNull()
  })

  test('Caddy and the server agree on the largest body', async () => {
    // A text of the largest size in its longest spelling, and white space up to the limit of both.
    const json = JSON.stringify({ text: '\0'.repeat(1_048_576) })
    const send = async (size: number) => {
      const file = temporaryPath('body')
      await Bun.write(file, json.padEnd(size))
      const url = `https://${WWW}:${https}/api/write`
      return (await curl('-H', 'Content-Type: application/json', '--data-binary', `@${file}`, url)).status
    }
    const largest = 6 * 1_048_576 + 16_384
    expect(await send(largest)).toBe(201)
    expect(await send(largest + 1)).toBe(413)
    expect(readFileSync('Caddyfile', 'utf8')).toContain(`MAX_BODY_BYTES:${largest}`)
  })

  test('the access log holds no code, no query and no address, and the server’s log has its request id', async () => {
    const code = await write('a')
    const secret = btoa(':the-password')
    await curl('-H', `Authorization: Basic ${secret}`, `https://${WWW}:${https}/${code}?from=mars`)
    await curl(`https://${WWW}:${https}/%20${code}`)
    const entries = await poll('the log', async () => {
      const lines = readFileSync(caddy.log, 'utf8').trim().split('\n')
      return lines.length > 5 && lines
    })
    for (const word of [code, 'mars', secret, '127.0.0.1']) expect(entries.join('\n')).not.toContain(word)
    expect(JSON.parse(entries.at(-1) ?? '')).toMatchObject({
      status: 200,
      request: { method: 'GET', remote_ip: '127.0.0.0' },
    })
    await server.stop()
    expect(await server.output()).toMatch(/"id":"[0-9a-f-]{36}","method":"GET","route":"\/:code"/)
    server = await start(database, environment())
  })

  test('a restart of the server makes loads wait, not fail', async () => {
    const code = await write('loaded meanwhile')
    await server.stop()
    const waiting = curl(`https://${WWW}:${https}/${code}`)
    server = await start(database, environment())
    expect(await waiting).toMatchObject({ status: 200, body: 'loaded meanwhile' })
  })

  test('a client cannot pretend to be another', async () => {
    const ask = (i: number) => curl('-H', `X-Forwarded-For: 198.51.100.${i}`, `https://${WWW}:${https}/zzz${'abcd'[i]}`)
    for (let i = 0; i < 3; i++) expect((await ask(i)).status).toBe(404)
    expect((await ask(3)).status).toBe(429)
  })
})
