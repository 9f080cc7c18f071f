/** Servers on which not everybody may write. */
import { afterEach, expect, test } from 'bun:test'
import { start, stopAll } from './support/processes.ts'
import { errorCode, filledDatabase, HOUR, testApp } from './support/support.ts'

afterEach(stopAll)

const [ANNA, SCHOOL] = ['anna-has-this-key', 'the-key-of-the-school']
const WRITE_KEYS = `anna:${ANNA}, school:${SCHOOL}`

const from = (client: string) => ({ 'x-client': client })

test('where there are write keys, every way to write wants one of them, and no way to load or erase', async () => {
  await using service = await testApp({ WRITE_KEYS })
  const ways = [
    (headers: Record<string, string>) => service.post('/api/write', { text: 'a' }, headers),
    (headers: Record<string, string>) => service.fetch('/', { method: 'POST', body: 'a', headers }),
  ]
  for (const write of ways) {
    for (const key of [undefined, '', 'wrong', ANNA.toUpperCase(), `${ANNA}x`, ANNA.slice(1), 'anna', `anna:${ANNA}`]) {
      const refused = await write(key === undefined ? {} : { 'x-write-key': key })
      expect([key, refused.status]).toEqual([key, 403])
      const body = await refused.text()
      expect(body).toContain('X-Write-Key')
      if (key) expect(body).not.toContain(key)
    }
    for (const key of [ANNA, SCHOOL]) expect((await write({ 'x-write-key': key })).status).toBe(201)
  }
  expect(service.query('SELECT count(*) AS n FROM text')).toEqual([{ n: 4 }])
  expect(await errorCode(await service.post('/api/write', { text: 'a' }))).toBe('write_key_required')

  const written = await service.post('/api/write', { text: 'a' }, { 'x-write-key': ANNA })
  const { code, eraseToken } = (await written.json()) as { code: string; eraseToken: string }
  expect(await (await service.fetch(`/${code}`)).text()).toBe('a')
  expect(await (await service.fetch(`/${code}`, { method: 'POST' })).text()).toBe('a')
  expect((await service.post('/api/load', { code }, { 'x-write-key': 'wrong' })).status).toBe(200)
  expect((await service.post('/api/erase', { code, eraseToken })).status).toBe(204)
})

test('without write keys anyone writes, whatever key comes along', async () => {
  await using service = await testApp()
  expect((await service.post('/api/write', { text: 'a' }, { 'x-write-key': 'any' })).status).toBe(201)
})

test('who has no key is refused before the body is read', async () => {
  await using service = await testApp({ WRITE_KEYS })
  for (const path of ['/', '/api/write']) {
    let pulled = 0
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(Buffer.alloc(1000 * ++pulled)) })
    const headers = { 'content-type': 'application/json' }
    expect((await service.fetch(path, { method: 'POST', headers, body })).status).toBe(403)
    expect(pulled).toBeLessThan(10)
  }
})

test('wrong keys count like misses, one and the same once; no key at all does not', async () => {
  await using service = await testApp({ WRITE_KEYS, MISSES_PER_HOUR: '5' })
  const write = (key: string, client = '192.0.2.1') =>
    service.post('/api/write', { text: 'a' }, { ...from(client), ...(key && { 'x-write-key': key }) })
  const { code } = (await (await write(ANNA)).json()) as { code: string }
  for (let i = 0; i < 20; i++) expect((await write('')).status).toBe(403)
  for (let i = 0; i < 20; i++) expect((await write('the same wrong key')).status).toBe(403)
  for (let i = 0; i < 4; i++) expect((await write(`wrong ${i}`)).status).toBe(403)
  // From now on nothing tells a right key from a wrong one, nor a code with a text from one without.
  for (const key of ['another', ANNA]) {
    const refused = await write(key)
    expect([refused.status, await refused.json()]).toMatchObject([
      429,
      {
        error: { code: 'too_many_misses', message: expect.stringContaining('Writing, loading and erasing are paused') },
      },
    ])
  }
  expect((await service.post('/api/load', { code }, from('192.0.2.1'))).status).toBe(429)
  expect((await write('')).status).toBe(403)
  expect((await write(ANNA, '203.0.113.1')).status).toBe(201)
  service.clock.now += HOUR
  expect((await write(ANNA)).status).toBe(201)
})

test('of a burst of wrong keys no more are told than one by one', async () => {
  await using service = await testApp({ WRITE_KEYS, MISSES_PER_HOUR: '5' })
  const burst = Array.from({ length: 50 }, (_, i) =>
    service.post('/api/write', { text: 'a' }, { ...from('192.0.2.1'), 'x-write-key': `wrong ${i}` }),
  )
  const statuses = (await Promise.all(burst)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 403)).toHaveLength(5)
  expect(statuses.filter((status) => status === 429)).toHaveLength(45)
})

test('a page of an admitted origin may send the key, and OpenAPI says where it goes', async () => {
  await using service = await testApp({ WRITE_KEYS })
  const preflight = await service.fetch('/api/write', {
    method: 'OPTIONS',
    headers: {
      origin: 'chrome-extension://abcdefghijklmnop',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-write-key',
    },
  })
  expect(preflight.headers.get('access-control-allow-headers')).toContain('X-Write-Key')
  type Operation = { security?: Record<string, string[]>[]; responses: Record<string, { description: string }> }
  const document = (await (await service.fetch('/openapi/json')).json()) as {
    components: { securitySchemes: Record<string, object> }
    paths: Record<string, Record<string, Operation>>
  }
  expect(document.components.securitySchemes.writeKey).toMatchObject({
    type: 'apiKey',
    in: 'header',
    name: 'X-Write-Key',
  })
  const asking = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { security = [], responses }]) =>
      security.some((scheme) => 'writeKey' in scheme)
        ? [`${method} ${path} ${responses['403']?.description.includes('write_key_required')}`]
        : [],
    ),
  )
  expect(asking.sort()).toEqual(['post / true', 'post /api/receive true', 'post /api/write true', 'post /receive true'])
})

test('the log names who wrote by the name of the key, and no line holds a key', async () => {
  const server = await start(await filledDatabase(), { WRITE_KEYS })
  for (const key of [SCHOOL, 'a-wrong-key-of-someone']) {
    await fetch(server.url, { method: 'POST', body: 'a', headers: { 'x-write-key': key } })
  }
  server.process.kill('SIGTERM')
  await server.process.exited
  const output = await server.output()
  const lines = output.split('\n').filter((line) => line.startsWith('{'))
  const log = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(log.map(({ status, key, error }) => [status, key, error])).toEqual([
    [201, 'school', undefined],
    [403, undefined, 'write_key_required'],
  ])
  for (const key of [ANNA, SCHOOL, 'a-wrong-key']) expect(output).not.toContain(key)
})

test('a server that is given no whole key does not start, and repeats none', async () => {
  const process = Bun.spawn(['bun', 'index.ts'], {
    cwd: new URL('..', import.meta.url).pathname,
    env: { PATH: Bun.env.PATH ?? '', DATABASE_URL: ':memory:', WRITE_KEYS: 'anna:too-short' },
    stderr: 'pipe',
  })
  expect(await process.exited).toBe(1)
  expect(await new Response(process.stderr).text()).toMatch(/^extextcloud: WRITE_KEYS must be (?!.*too-short).*\.\n$/)
})
