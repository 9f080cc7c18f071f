/** What a browser makes its user ask at another site's bidding, and names that are not this server's. */
import { expect, test } from 'bun:test'
import { errorCode, testApp } from './support/support.ts'

const FOREIGN = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', origin: 'https://evil.example' }

test('what another site’s page makes its visitor ask is refused before anything is counted, read or written', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '1', REQUESTS_PER_MINUTE: '2', WRITES_PER_MINUTE: '1' })
  const json = { 'content-type': 'application/json' }
  for (const site of ['cross-site', 'same-site']) {
    for (const more of [
      {},
      { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
      { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-purpose': 'prefetch;prerender' },
      { 'sec-fetch-mode': 'websocket', 'sec-fetch-dest': 'websocket' },
      { origin: 'null' },
    ] as Record<string, string>[]) {
      const headers = { ...FOREIGN, 'sec-fetch-site': site, ...more }
      for (const refused of [
        await service.fetch('/abcd', { headers }),
        await service.fetch('/abcd', { method: 'POST', headers }),
        await service.fetch('/', { method: 'POST', headers, body: 'a' }),
        await service.fetch('/api/write', { method: 'POST', headers: { ...headers, ...json }, body: '{"text":"a"}' }),
        await service.fetch('/nothing/here', { headers }),
        await service.fetch('/', { headers }),
        await service.fetch('/api/load', { method: 'OPTIONS', headers }),
      ]) {
        expect(refused.status).toBe(403)
        expect(refused.headers.get('access-control-allow-origin')).toBeNull()
      }
    }
  }
  const raw = await service.fetch('/abcd', { headers: FOREIGN })
  expect(await raw.text()).toStartWith('Another site’s page asked for this.')
  expect(await errorCode(await service.post('/api/load', { code: 'abcd' }, FOREIGN))).toBe('cross_site')
  expect(service.query('SELECT code FROM text')).toEqual([])
  // As many as a client has, once the foreign ones are not counted.
  const { code } = (await (await service.post('/api/write', { text: 'a' })).json()) as { code: string }
  expect((await service.post('/api/load', { code })).status).toBe(200)
  expect((await service.post('/api/load', { code })).status).toBe(429)
})

test('a WebSocket, of which a browser says no more than its origin, is refused too', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '1' })
  const socket = { upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  const ask = async (headers: Record<string, string>) => (await service.fetch('/abcd', { headers })).status
  expect(await ask({ ...socket, origin: 'https://evil.example' })).toBe(403)
  // A program is counted as whatever it asks.
  expect(await ask(socket)).toBe(404)
  expect(await ask({})).toBe(429)
})

test('links, the page itself, extensions, admitted origins and programs go on working', async () => {
  await using service = await testApp({ CORS_ORIGINS: 'https://friend.example' })
  const { code } = (await (await service.post('/api/write', { text: 'a' })).json()) as { code: string }
  const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  expect((await service.fetch('/', { headers: link })).status).toBe(200)
  expect((await service.fetch(`/${code}`, { headers: { ...link, accept: 'text/html' } })).status).toBe(302)
  for (const headers of [
    { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', origin: 'http://localhost' },
    { 'sec-fetch-site': 'none' },
    { ...FOREIGN, 'sec-fetch-mode': 'cors', origin: 'chrome-extension://abcdefghijklmnop' },
    { ...FOREIGN, 'sec-fetch-mode': 'cors', origin: 'moz-extension://0c5b3a1e' },
    { ...FOREIGN, 'sec-fetch-mode': 'cors', origin: 'https://friend.example' },
    {},
  ] as Record<string, string>[]) {
    expect((await service.post('/api/load', { code }, headers)).status).toBe(200)
  }
})

test('with PUBLIC_URL another name is refused on every route but health, and the page is sent to its own', async () => {
  await using service = await testApp({ PUBLIC_URL: 'https://texts.example.com' })
  const ask = (host: string, path: string, method = 'GET') =>
    service.app.handle(new Request(`http://${host}${path}`, { method }))
  for (const host of ['evil.example', '127.0.0.1:3000', 'localhost', 'nas', 'www.texts.example.com']) {
    for (const [path, method] of [
      ['/abcd', 'GET'],
      ['/abcd', 'POST'],
      ['/', 'POST'],
      ['/api/write', 'POST'],
      ['/openapi/json', 'GET'],
      ['/robots.txt', 'GET'],
      ['/api/load', 'OPTIONS'],
    ] as const) {
      expect([host, path, (await ask(host, path, method)).status]).toEqual([host, path, 421])
    }
    expect((await ask(host, '/health')).status).toBe(200)
    expect((await ask(host, '/')).status).toBe(308)
  }
  for (const host of ['texts.example.com', 'TEXTS.example.com', 'texts.example.com.', 'texts.example.com:8443']) {
    expect((await ask(host, '/abcd')).status).toBe(404)
  }
})

test('the path is the same, however short the host', async () => {
  await using service = await testApp()
  const { code } = (await (await service.post('/api/write', { text: 'a' })).json()) as { code: string }
  for (const host of ['a', 'nas', 'a.b', 'localhost', '[::1]', '10.0.0.1:3000']) {
    const ask = (path: string) => service.app.handle(new Request(`http://${host}${path}`))
    expect([host, (await ask(`/${code}`)).status]).toEqual([host, 200])
    for (const path of [`/assets/${code}`, `/x/${code}`, `/zz/health`, `/${code}/x`, `/api/${code}`]) {
      expect([host, path, (await ask(path)).status]).toEqual([host, path, 404])
    }
  }
})

test('every answer keeps other sites out of its window and out of its bytes', async () => {
  await using service = await testApp()
  for (const path of ['/', '/abcd', '/health', '/robots.txt', '/nothing/here']) {
    const { headers } = await service.fetch(path)
    expect([path, headers.get('cross-origin-opener-policy'), headers.get('cross-origin-resource-policy')]).toEqual([
      path,
      'same-origin',
      'same-origin',
    ])
  }
})
