/** What the operator sees: the log, the metrics, and whether the server is ready. */
import { afterEach, expect, test } from 'bun:test'
import { networkInterfaces } from 'node:os'
import { answer } from '../answers.ts'
import { networkOf } from '../client.ts'
import { Refusal } from '../errors.ts'
import { createMetrics } from '../metrics.ts'
import { readSettings } from '../settings.ts'
import { routeOf } from '../watch.ts'
import { poll } from './support/poll.ts'
import { post, type Server, start, stopAll, write } from './support/processes.ts'
import { filledDatabase, openShell, root, testApp, testStore } from './support/support.ts'

afterEach(stopAll)

/** Stops `server`; returns its log, a line each. */
async function logOf(server: Server) {
  await server.stop()
  const lines = (await server.output()).split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('each request is a line of the log, with its route and its network, and without a code', async () => {
  const server = await start(await filledDatabase(), { CLIENT_IP_HEADER: 'x-client' })
  const code = await write(server, 'a')
  const headers = { 'x-client': '192.0.2.77', 'x-request-id': 'from-the-proxy' }
  await fetch(`${server.url}/${code}?a=b`, { headers })
  await fetch(`${server.url}/%20${code}`, { headers })
  await fetch(`${server.url}/${code}/more`, { headers })
  await fetch(`${server.url}/${code}.txt`, { headers })
  const missing = code === 'aaaa' ? 'bbbb' : 'aaaa'
  await post(server, 'load', { code: missing })
  const log = await logOf(server)
  expect(log[0]).toMatchObject({
    level: 'info',
    method: 'POST',
    route: '/api/write',
    status: 201,
    ms: expect.any(Number),
  })
  expect(log[1]).toMatchObject({ id: 'from-the-proxy', route: '/:code', status: 200, client: '192.0.2.0/24' })
  expect(log.at(-1)).toMatchObject({ route: '/api/load', status: 404, error: 'not_found' })
  expect(new Set(log.map(({ id }) => id)).size).toBe(3)
  expect(log).toHaveLength(6)
  for (const secret of [code, missing, '192.0.2.77']) expect(JSON.stringify(log)).not.toContain(secret)
})

test('without a proxy nobody else names a request', async () => {
  const server = await start(await filledDatabase())
  await fetch(`${server.url}/abcd`, { headers: { 'x-request-id': 'anybodys-word' } })
  expect(JSON.stringify(await logOf(server))).not.toContain('anybodys-word')
})

test('a flood is one line of the log for each network, and whole in the metrics', async () => {
  const server = await start(await filledDatabase(), {
    CLIENT_IP_HEADER: 'x-client',
    METRICS_PORT: '0',
    REQUESTS_PER_MINUTE: '5',
  })
  for (const client of ['192.0.2.1', '203.0.113.1']) {
    const ask = () => fetch(`${server.url}/abcd`, { headers: { 'x-client': client } })
    for (let i = 0; i < 50; i++) await ask()
  }
  expect(await server.metrics()).toMatch(/error="too_many_requests"\} 90\n/)
  const floods = (await logOf(server)).filter(({ error }) => error === 'too_many_requests')
  expect(floods.map(({ client }) => client)).toEqual(['192.0.2.0/24', '203.0.113.0/24'])
})

test('every route has its name in the log, its place in OpenAPI, and the errors that it promises there', async () => {
  await using service = await testApp()
  const { paths } = (await (await service.fetch('/openapi/json')).json()) as {
    paths: Record<string, Record<string, { responses?: Record<string, { content: object }> }>>
  }
  for (const { method, path } of service.app.routes) {
    if (method === 'OPTIONS') continue // Those of CORS.
    const isFile = /[.*]/.test(path)
    const address = path.replace(':code', 'AbCd')
    expect(routeOf(new Request(`http://localhost${address}`))).toBe(isFile ? '/assets/*' : path)

    const described = paths[path.replace(':code', '{code}')]?.[method.toLowerCase()]
    const isHidden = isFile || ['/share', '/openapi/json'].includes(path)
    expect([path, described !== undefined]).toEqual([path, !isHidden])
    const internal = described?.responses?.[500]
    if (!internal) continue
    const { response } = answer(new Refusal('internal'), address, new Request(`http://localhost${address}`), {})
    const type = typeof response === 'string' ? 'text/plain' : 'application/json'
    expect([path, Object.keys(internal.content)]).toEqual([path, [type]])
  }
})

test('the level of the log says what is in it', async () => {
  const server = await start(await filledDatabase(), { LOG_LEVEL: 'warn', WRITES_PER_MINUTE: '1' })
  await write(server, 'a')
  expect((await post(server, 'write', { text: 'b' })).status).toBe(429)
  expect(await logOf(server)).toMatchObject([{ level: 'warn', route: '/api/write', error: 'too_many_requests' }])
})

test('a failure is in the log with its cause', async () => {
  const path = await filledDatabase()
  const server = await start(path, { LOG_LEVEL: 'error' })
  {
    using shell = openShell(path)
    shell.run(
      `CREATE TRIGGER failing BEFORE INSERT ON text WHEN new.body = 'a' BEGIN SELECT raise(ABORT, 'broken'); END`,
    )
  }
  expect((await post(server, 'write', { text: 'a' })).status).toBe(500)
  expect(await logOf(server)).toMatchObject([
    { level: 'error', err: { message: expect.stringContaining('broken'), stack: expect.any(String) } },
    { level: 'error', status: 500, error: 'internal' },
  ])
})

test('the network of a client is told, not its address', () => {
  const networks: [client: string, network: string][] = [
    ['192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['unknown', 'unknown'],
  ]
  for (const [client, network] of networks) expect(networkOf(client)).toBe(network)
})

test('metrics count what happens, and are on a port of their own', async () => {
  const server = await start(await filledDatabase(), { METRICS_PORT: '0', WRITES_PER_MINUTE: '2' })
  const code = await write(server, 'a text')
  await write(server, 'another')
  await post(server, 'write', { text: 'one too many' })
  await post(server, 'load', { code })
  await post(server, 'load', { code: code === 'aaaa' ? 'bbbb' : 'aaaa' })
  const metrics = await server.metrics()
  for (const line of [
    'extextcloud_requests_total{method="POST",route="/api/write",status="201",error=""} 2',
    'extextcloud_requests_total{method="POST",route="/api/write",status="429",error="too_many_requests"} 1',
    'extextcloud_requests_total{method="POST",route="/api/load",status="200",error=""} 1',
    'extextcloud_requests_total{method="POST",route="/api/load",status="404",error="not_found"} 1',
    'extextcloud_request_seconds_count{route="/api/load"} 2',
    'extextcloud_texts 2',
    'extextcloud_texts_max 100000',
    'extextcloud_stored_bytes 13',
    'extextcloud_codes{state="free"} 7311614',
    'extextcloud_codes{state="resting"} 0',
    'extextcloud_password_hashes{state="waiting"} 0',
  ]) {
    expect(metrics).toContain(`${line}\n`)
  }
  expect(metrics).toMatch(/^extextcloud_last_sweep_timestamp_seconds \d+/m)
  expect(metrics).toMatch(/^nodejs_eventloop_lag_p99_seconds \d/m)
  expect(metrics).not.toContain(code)
  expect((await fetch(`${server.url}/metrics`)).status).toBe(422) // No code of four letters.
})

test('metrics are answered while the database cannot be read', async () => {
  await using stored = await testStore()
  const stats = () => Promise.reject(new Refusal('busy'))
  const metrics = createMetrics({ ...stored.store, stats }, readSettings({}))
  const answer = await metrics.answer(0)
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('process_resident_memory_bytes')])
})

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
)

test.skipIf(!hasIpv6)('the command health finds the server at an IPv6 address too', async () => {
  const server = await start(await filledDatabase(), { HOST: '::1' })
  const env = { PATH: Bun.env.PATH ?? '', HOST: '::1', PORT: new URL(server.url).port }
  expect(await Bun.$`bun index.ts health`.cwd(root).env(env).text()).toBe('The server is well\n')
})

test('the command health asks past every proxy that the environment names', async () => {
  const server = await start(await filledDatabase())
  for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']) {
    const proxied = { [name]: 'http://127.0.0.1:9', no_proxy: 'example.com', NO_PROXY: 'example.com' }
    const env = { PATH: Bun.env.PATH ?? '', HOST: '127.0.0.1', PORT: new URL(server.url).port, ...proxied }
    expect(await Bun.$`bun index.ts health`.cwd(root).env(env).text()).toBe('The server is well\n')
  }
})

test('a header that never names a client is warned of, once, and counted', async () => {
  const told = async (headers: Record<string, string>[]) => {
    const server = await start(await filledDatabase(), { CLIENT_IP_HEADER: 'X-Forwarded-For', METRICS_PORT: '0' })
    for (const each of headers) await fetch(`${server.url}/robots.txt`, { headers: each })
    await fetch(`${server.url}/health`)
    const [, count] = /^extextcloud_unnamed_clients_total (\d+)$/m.exec(await server.metrics()) ?? []
    const warnings = (await logOf(server)).filter(({ msg }) => String(msg).includes('CLIENT_IP_HEADER'))
    return [Number(count), warnings.map(({ level }) => level)]
  }
  const named = { 'x-forwarded-for': '203.0.113.1:51' }
  expect(await told([{}, {}, {}, {}])).toEqual([4, ['warn']])
  expect(await told([{ 'x-forwarded-for': 'unknown' }, { 'x-real-ip': '203.0.113.1' }])).toEqual([2, ['warn']])
  expect(await told([named, {}, {}, {}])).toEqual([3, []])
  expect(await told([{}, named, named])).toEqual([1, []])
})

test('a server that stops says so on /health first, and goes on answering until its balancer has looked away', async () => {
  const server = await start(await filledDatabase(), { DRAIN_SECONDS: '2' })
  server.process.kill('SIGTERM')
  const refused = await poll('503', async () => {
    const health = await fetch(`${server.url}/health`)
    return health.status === 503 && health
  })
  expect(refused.headers.get('retry-after')).toBe('5')
  expect(((await refused.json()) as { error: { code: string } }).error.code).toBe('busy')
  await write(server, 'still stored')
  expect(await server.process.exited).toBe(0)
})

test('no metrics unless they are asked for', async () => {
  const server = await start(await filledDatabase())
  expect(await server.output()).not.toContain('Metrics')
})
