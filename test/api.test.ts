import { expect, test } from 'bun:test'
import { errorCode, HOUR, SECOND, testApp } from './support/support.ts'

test('a text is loaded with the four letters that writing it gave', async () => {
  await using service = await testApp()
  const written = await service.api.write.post({ text: 'from here to there' })
  expect(written.status).toBe(201)
  expect(written.data).toEqual({
    code: expect.stringMatching(/^[A-Za-z]{4}$/),
    expiresAt: '2030-01-01T01:00:00.000Z',
    eraseToken: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
  })
  const loaded = await service.api.load.post({ code: written.data?.code ?? '' })
  expect(loaded.status).toBe(200)
  expect(loaded.data).toEqual({ text: 'from here to there', expiresAt: '2030-01-01T01:00:00.000Z', once: false })
})

test('a text comes back byte for byte', async () => {
  await using service = await testApp()
  for (const text of [
    '\n',
    ' \t ',
    'a\0b',
    '\r\n\r',
    '안녕 😀',
    'e\u0301 \u00e9',
    '\u0301',
    '\ufeffBOM',
    '‮rtl',
    '\u{10ffff}',
  ]) {
    const { data } = await service.api.write.post({ text })
    expect((await service.api.load.post({ code: data?.code ?? '' })).data?.text).toBe(text)
  }
})

test('the largest text is stored, also where each of its bytes takes six in JSON; one byte more is refused', async () => {
  await using service = await testApp({ MAX_TEXT_BYTES: '1000' })
  for (const text of ['x'.repeat(1000), '\u0001'.repeat(1000), '😀'.repeat(250)]) {
    const { data } = await service.api.write.post({ text })
    expect((await service.api.load.post({ code: data?.code ?? '' })).data?.text).toBe(text)
  }
  for (const text of ['x'.repeat(1001), `${'😀'.repeat(250)}x`, '한'.repeat(334)]) {
    const response = await service.post('/api/write', { text })
    expect([response.status, await errorCode(response)]).toEqual([413, 'text_too_large'])
  }
})

test('white space around a code is ignored, its letters are taken as they are', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a' })).data ?? {}
  expect((await service.api.load.post({ code: `\n  ${code}\t` })).status).toBe(200)
  const swapped = [...code].map((l) => (l === l.toUpperCase() ? l.toLowerCase() : l.toUpperCase())).join('')
  expect((await service.api.load.post({ code: swapped })).status).toBe(404)
})

test('a text is gone at the very millisecond at which it expires', async () => {
  await using service = await testApp()
  const { code = '', expiresAt = '' } = (await service.api.write.post({ text: 'a', expiresIn: 60 })).data ?? {}
  expect(Date.parse(expiresAt)).toBe(service.clock.now + 60 * SECOND)
  service.clock.now = Date.parse(expiresAt) - 1
  expect((await service.api.load.post({ code })).status).toBe(200)
  service.clock.now += 1
  expect((await service.api.load.post({ code })).status).toBe(404)
  expect(service.query('SELECT rests_until FROM code WHERE code = ?', code)).toEqual([
    { rests_until: service.clock.now + 24 * HOUR },
  ])
})

test('a text with a password opens with that password alone', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a', password: 'correct horse' })).data ?? {}
  const without = await service.post('/api/load', { code })
  expect([without.status, await errorCode(without)]).toEqual([401, 'password_required'])
  expect(without.headers.get('www-authenticate')).toBeNull()
  const wrong = await service.post('/api/load', { code, password: 'wrong horse' })
  expect([wrong.status, await wrong.json()]).toEqual([
    401,
    { error: { code: 'wrong_password', message: 'The password is wrong. Tries left: 4.', triesLeft: 4 } },
  ])
  expect((await service.api.load.post({ code, password: 'correct horse' })).data?.text).toBe('a')
  expect((await service.api.load.post({ code, password: 'correct horse' })).data?.text).toBe('a')
})

test('a password is kept as Argon2id with 64 MiB and two passes only', async () => {
  await using service = await testApp()
  await service.api.write.post({ text: 'a', password: 'correct horse' })
  expect(service.query('SELECT password_hash FROM text')).toEqual([
    { password_hash: expect.stringMatching(/^\$argon2id\$v=19\$m=65536,t=2,p=1\$/) },
  ])
})

test('a password matches however its keyboard composed the letters', async () => {
  await using service = await testApp()
  const { code = '' } =
    (await service.api.write.post({ text: 'a', password: 'caf\u00e9 \u1112\u1161\u11ab' })).data ?? {}
  expect((await service.api.load.post({ code, password: 'cafe\u0301 \ud55c' })).status).toBe(200)
})

test('a password may have 256 bytes of UTF-8 and no more', async () => {
  await using service = await testApp()
  const longest = `${'한'.repeat(85)}x`
  const { code = '' } = (await service.api.write.post({ text: 'a', password: longest })).data ?? {}
  expect((await service.api.load.post({ code, password: longest })).status).toBe(200)
  for (const password of ['', `${longest}x`, 'x'.repeat(257), '\ud800']) {
    expect((await service.post('/api/write', { text: 'a', password })).status).toBe(422)
  }
})

test('a text that can be read only once is gone after its first load', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a', once: true })).data ?? {}
  expect((await service.api.load.post({ code })).data).toMatchObject({ text: 'a', once: true })
  expect((await service.api.load.post({ code })).status).toBe(404)
  expect(service.query('SELECT code FROM text')).toEqual([])
})

test('a load that is not to take leaves a text that can be read only once, and gives every other', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a', once: true, password: 'p' })).data ?? {}
  for (const password of [undefined, 'p', 'wrong']) {
    const asked = await service.post('/api/load', { code, password, take: false })
    expect([asked.status, await errorCode(asked)]).toEqual([409, 'only_once'])
  }
  expect((await service.api.load.post({ code, password: 'p', take: true })).data).toMatchObject({
    text: 'a',
    once: true,
  })
  expect((await service.api.load.post({ code, take: false })).status).toBe(404)

  const many = (await service.api.write.post({ text: 'b' })).data?.code ?? ''
  expect((await service.api.load.post({ code: many, take: false })).data).toMatchObject({ text: 'b', once: false })
})

test('a wrong password does not take a text that can be read only once', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a', once: true, password: 'p' })).data ?? {}
  expect((await service.post('/api/load', { code, password: 'q' })).status).toBe(401)
  expect((await service.post('/api/load', { code })).status).toBe(401)
  expect((await service.post('/api/load', { code, password: 'p' })).status).toBe(200)
})

test('of 50 that load a text at once that can be read only once, one gets it', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a', once: true })).data ?? {}
  const loads = await Promise.all(Array.from({ length: 50 }, () => service.post('/api/load', { code })))
  expect(loads.map((load) => load.status).sort()).toEqual([200, ...Array(49).fill(404)])
})

test('a text is erased with its token, and with nothing else', async () => {
  await using service = await testApp()
  const { code = '', eraseToken = '' } = (await service.api.write.post({ text: 'a' })).data ?? {}
  for (const token of ['', 'wrong', `${eraseToken.toLowerCase()}A`, 'A'.repeat(22)]) {
    const response = await service.post('/api/erase', { code, eraseToken: token })
    expect([response.status, await errorCode(response)]).toEqual([404, 'not_found'])
  }
  expect((await service.api.load.post({ code })).status).toBe(200)
  const erased = await service.post('/api/erase', { code: ` ${code} `, eraseToken })
  expect([erased.status, await erased.text()]).toEqual([204, ''])
  expect((await service.api.load.post({ code })).status).toBe(404)
  expect((await service.post('/api/erase', { code, eraseToken })).status).toBe(404)
})

test('the erase token is kept as its SHA-256 only', async () => {
  await using service = await testApp()
  const { eraseToken = '' } = (await service.api.write.post({ text: 'a' })).data ?? {}
  const hash = new Bun.CryptoHasher('sha256').update(eraseToken).digest('hex')
  expect(service.query('SELECT lower(hex(erase_token_hash)) AS hash FROM text')).toEqual([{ hash }])
})

test('every code without a text is answered alike, whatever became of it', async () => {
  await using service = await testApp()
  const write = async (more: object) =>
    (await service.api.write.post({ text: 'a', ...more })).data ?? { code: '', eraseToken: '' }
  const expired = await write({ expiresIn: 60 })
  service.clock.now += 60 * SECOND
  const erased = await write({})
  await service.api.erase.post({ code: erased.code, eraseToken: erased.eraseToken })
  const taken = await write({ once: true })
  await service.api.load.post({ code: taken.code })
  const never = service.query<{ code: string }>('SELECT code FROM code WHERE rests_until IS NULL LIMIT 1')[0]
  const lent = await write({})
  const answers = await Promise.all([
    ...[expired, erased, taken, never].map((text) => service.post('/api/load', { code: text?.code })),
    service.post('/api/erase', { code: lent.code, eraseToken: 'A'.repeat(22) }),
  ])
  const told = await Promise.all(answers.map(async (a) => [a.status, await a.text(), Object.fromEntries(a.headers)]))
  for (const answer of told) expect(answer).toEqual(told[0] ?? [])
})

test('a text without a password ignores one', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a' })).data ?? {}
  expect((await service.post('/api/load', { code, password: 'p' })).status).toBe(200)
})

test('a text that is erased while its password is being checked is not shown', async () => {
  await using service = await testApp()
  const { code = '', eraseToken = '' } = (await service.api.write.post({ text: 'a', password: 'p' })).data ?? {}
  const loading = service.post('/api/load', { code, password: 'p' })
  const erasing = service.api.erase.post({ code, eraseToken })
  expect([(await loading).status, (await erasing).status]).toEqual([404, 204])
})

test('fields that break their schema are named, and why, without their values', async () => {
  await using service = await testApp()
  const wrong: [path: string, body: object, fields: string[]][] = [
    ['/api/write', {}, ['text']],
    ['/api/write', { text: '' }, ['text']],
    ['/api/write', { text: 5 }, ['text']],
    ['/api/write', { text: null }, ['text']],
    ['/api/write', { text: 'a\ud800' }, ['text']],
    ['/api/write', { text: 'a', expiresIn: 59 }, ['expiresIn']],
    ['/api/write', { text: 'a', expiresIn: 2_592_001 }, ['expiresIn']],
    ['/api/write', { text: 'a', expiresIn: 60.5 }, ['expiresIn']],
    ['/api/write', { text: 'a', expiresIn: '60' }, ['expiresIn']],
    ['/api/write', { text: 'a', once: 'true' }, ['once']],
    ['/api/write', { text: 'a', password: 7 }, ['password']],
    ['/api/write', { text: 'a', pasword: 'typo' }, ['pasword']],
    ['/api/write', { text: 'a', once: 1, expiresIn: -1 }, ['expiresIn', 'once']],
    ['/api/load', {}, ['code']],
    ['/api/load', { code: 'abc' }, ['code']],
    ['/api/load', { code: 'abcde' }, ['code']],
    ['/api/load', { code: 'ab1d' }, ['code']],
    ['/api/load', { code: 'äbcd' }, ['code']],
    ['/api/load', { code: 'a bcd' }, ['code']],
    ['/api/load', { code: 'abcd', password: '' }, ['password']],
    ['/api/erase', { code: 'abcd' }, ['eraseToken']],
    ['/api/erase', { eraseToken: 'x' }, ['code']],
  ]
  for (const [path, body, fields] of wrong) {
    const response = await service.post(path, body)
    const { error } = (await response.json()) as {
      error: { code: string; issues: { path: string; message: string }[] }
    }
    expect([response.status, error.code, error.issues.map((issue) => issue.path).sort()]).toEqual([
      422,
      'invalid',
      fields,
    ])
    for (const { message } of error.issues) expect(message).toMatch(/^(Must be |The text is not |There is only: )/)
    expect(JSON.stringify(error)).not.toContain('typo')
  }
})

test('a lone array, string or null is no request', async () => {
  await using service = await testApp()
  for (const body of ['[]', '"a"', 'null', '1', 'true']) {
    expect((await service.post('/api/load', body)).status).toBe(422)
  }
})

test('JSON nested ever so deep is refused like any other wrong field', async () => {
  await using service = await testApp()
  for (const depth of [100, 6000, 1_000_000]) {
    const nested = '['.repeat(depth) + ']'.repeat(depth)
    for (const body of [
      nested,
      `{"code":${nested}}`,
      `{"code":"abcd","more":${nested}}`,
      `${`{"a":`.repeat(depth)}1${'}'.repeat(depth)}`,
    ]) {
      expect((await service.post('/api/write', body)).status).toBe(422)
      expect([413, 422]).toContain((await service.post('/api/load', body)).status)
    }
  }
  const many = JSON.stringify(Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`field ${i}`, i])))
  const response = await service.post('/api/write', many)
  expect([response.status, (await response.text()).length < 200]).toEqual([422, true])
})

test('a body that is not JSON, or not UTF-8, is malformed', async () => {
  await using service = await testApp()
  for (const body of ['', '\ufeff', '{', '{"text":"a"}}', "{'text':'a'}", 'text=a', '\ufeff\ufeff{"text":"a"}']) {
    const response = await service.post('/api/write', body)
    expect([response.status, await errorCode(response)]).toEqual([400, 'malformed'])
  }
  const latin1 = await service.fetch('/api/write', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: Buffer.from('{"text":"caf\xe9"}', 'latin1'),
  })
  expect([latin1.status, await errorCode(latin1)]).toEqual([400, 'malformed'])
})

test('JSON may begin with a byte order mark, which is no part of it; one in a text stays', async () => {
  await using service = await testApp()
  const written = await service.post('/api/write', '\ufeff{"text":"\ufeffa"}')
  expect(written.status).toBe(201)
  const { code } = (await written.json()) as { code: string }
  const loaded = await service.post('/api/load', `\ufeff${JSON.stringify({ code })}`)
  expect(await loaded.json()).toMatchObject({ text: '\ufeffa' })
  expect((await service.post('/api/load', `\ufeff{"code":${'[1,'.repeat(9000)}`)).status).toBe(413)
  expect((await service.post('/api/write', `\ufeff{"text":[${'"a",'.repeat(9000)}`)).status).toBe(422)
})

test('only a request that says application/json can write, so that no foreign form can', async () => {
  await using service = await testApp()
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    '',
  ]) {
    for (const path of ['/api/write', '/api/load', '/api/erase']) {
      const response = await service.post(path, { text: 'a' }, { 'content-type': type })
      expect([response.status, await errorCode(response)]).toEqual([415, 'unsupported_media_type'])
    }
  }
  for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json;']) {
    expect((await service.post('/api/write', { text: 'a' }, { 'content-type': type })).status).toBe(201)
  }
})

test('a body that is larger than any request needs is refused before it is read', async () => {
  await using service = await testApp({ MAX_TEXT_BYTES: '1000' })
  let pulled = 0
  const endless = new ReadableStream({
    pull(controller) {
      pulled += 1000
      controller.enqueue(Buffer.alloc(1000, 32))
    },
  })
  const streamed = await service.fetch('/api/write', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: endless,
  })
  expect([streamed.status, await errorCode(streamed)]).toEqual([413, 'text_too_large'])
  expect(pulled).toBeLessThan(100_000)
})

test('what is no route is answered in the form of its neighbours', async () => {
  await using service = await testApp()
  for (const [method, path] of [
    ['POST', '/api/nothing'],
    ['GET', '/api/nothing'],
    ['GET', '/no/such/page'],
  ] as const) {
    const response = await service.fetch(path, { method })
    expect(response.status).toBe(404)
    if (path.startsWith('/api/')) expect(await errorCode(response)).toBe('not_found')
  }
})

test('health says ok after reading the database, and 503 when that fails', async () => {
  await using service = await testApp()
  const healthy = await service.fetch('/health')
  expect([healthy.status, await healthy.json()]).toEqual([200, { status: 'ok' }])
  service.query('ALTER TABLE code RENAME TO elsewhere')
  const ill = await service.fetch('/health')
  expect([ill.status, await errorCode(ill), ill.headers.get('retry-after')]).toEqual([503, 'busy', '5'])
  service.query('ALTER TABLE elsewhere RENAME TO code')
})

test('the page is served, and sends a request for another host to the canonical one', async () => {
  await using service = await testApp({ PUBLIC_URL: 'https://www.example.com' })
  const page = await service.app.handle(new Request('http://www.example.com/'))
  expect([page.status, page.headers.get('content-type'), page.headers.get('cache-control')]).toEqual([
    200,
    'text/html;charset=utf-8',
    'no-cache',
  ])
  const elsewhere = await service.app.handle(new Request('http://example.com/'))
  expect([elsewhere.status, elsewhere.headers.get('location')]).toEqual([308, 'https://www.example.com/'])
  const port = await service.app.handle(new Request('http://www.example.com:8443/'))
  expect(port.status).toBe(200)
  expect(page.headers.get('strict-transport-security')).toMatch(/^max-age=\d{8}/)
})

test('every answer is private, uncached, unframed and of the type it says', async () => {
  await using service = await testApp()
  const answers = await Promise.all([
    service.post('/api/write', { text: 'a' }),
    service.post('/api/write', '{'),
    service.post('/api/load', { code: 'abcd' }),
    service.fetch('/abcd'),
    service.fetch('/no/such/page'),
    service.fetch('/health'),
  ])
  for (const { headers } of answers) {
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';.* frame-ancestors 'none'/)
    expect(headers.get('strict-transport-security')).toBeNull()
    expect(headers.get('set-cookie')).toBeNull()
  }
})

test('browser extensions and the origins in CORS_ORIGINS may call the API, others may not, and never with credentials', async () => {
  await using service = await testApp({ CORS_ORIGINS: 'https://a.example, http://localhost:8080' })
  const origins: [origin: string, admitted: boolean][] = [
    ['chrome-extension://abcdefghijklmnop', true],
    ['moz-extension://0f2e9f3c-3d3a-4a3e-9a55-2c8f1c9c6a11', true],
    ['https://a.example', true],
    ['http://localhost:8080', true],
    ['https://b.example', false],
    ['http://a.example', false],
    ['https://a.example.evil.example', false],
    ['https://evil.example/chrome-extension://abc', false],
    ['null', false],
  ]
  for (const [origin, admitted] of origins) {
    const preflight = await service.fetch('/api/write', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    })
    const written = await service.post('/api/write', { text: 'a' }, { origin })
    const refused = await service.post('/api/load', { code: 'x' }, { origin })
    for (const { headers } of [preflight, written, refused]) {
      expect(headers.get('access-control-allow-origin')).toBe(admitted ? origin : null)
      expect(headers.get('access-control-allow-credentials')).toBeNull()
      expect(headers.get('vary')).toContain('Origin')
    }
    expect(preflight.headers.get('access-control-allow-headers')).toBe('Content-Type, X-Write-Key')
    expect(written.headers.get('access-control-expose-headers')).toBe('Retry-After, Date')
  }
})

test('OpenAPI describes every route with every answer it gives, and every limit', async () => {
  const byDefault = { REQUESTS_PER_MINUTE: '', WRITES_PER_MINUTE: '', WRITE_BYTES_PER_DAY: '', MISSES_PER_HOUR: '' }
  await using service = await testApp(byDefault)
  const document = (await (await service.fetch('/openapi/json')).json()) as {
    openapi: string
    info: { description: string }
    paths: Record<
      string,
      Record<
        string,
        { summary: string; responses?: Record<string, { description: string }>; requestBody?: { content: object } }
      >
    >
  }
  expect(document.openapi).toMatch(/^3\./)
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses = {} }]) => [
      `${method} ${path}`,
      Object.keys(responses).join(' '),
    ]),
  )
  expect(Object.fromEntries(routes)).toEqual({
    'get /': '200 308',
    'get /privacy': '200',
    'get /health': '200 500 503',
    'post /api/write': '201 400 403 404 413 415 422 429 500 503 507',
    'post /api/load': '200 400 401 404 409 413 415 422 429 500 503 507',
    'post /api/erase': '204 400 404 413 415 422 429 500 503 507',
    'post /api/status': '200 400 404 413 415 422 429 500 503 507',
    'post /api/receive': '201 400 403 413 415 422 429 500 503 507',
    'post /api/receive/wait': '200 204 400 404 413 415 422 429 500 503 507',
    'post /receive': '200 403 413 415 422 429 500 503 507',
    'post /': '201 401 403 413 415 422 429 500 503 507',
    'get /{code}': '200 302 401 404 409 422 429 500 503 507',
    'post /{code}': '200 201 401 404 409 413 415 422 429 500 503 507',
  })
  expect(document.paths['/api/load']?.post?.responses?.['429']?.description).toContain('too_many_misses')
  expect(Object.keys(document.paths['/']?.post?.requestBody?.content ?? {})).toEqual(['text/plain'])
  for (const limit of [
    '120 requests',
    '30 texts',
    '52428800 bytes',
    '20 codes',
    '5 wrong',
    '50 wrong',
    '1048576 bytes',
    '536870912',
  ]) {
    expect(document.info.description).toContain(limit)
  }
})

test('a small body that says its length is judged like one that does not', async () => {
  await using service = await testApp()
  const bodies: [body: Uint8Array, status: number][] = [
    [Buffer.from('{"text":"a"}'), 201],
    [Buffer.from('{"text":"a"'), 400],
    [Buffer.from('{"text":"\xff"}', 'latin1'), 400],
    [Buffer.from('{"text":{"a":1}}'), 422],
    [Buffer.from(''), 400],
  ]
  for (const [body, status] of bodies) {
    for (const length of [undefined, String(body.length)]) {
      const headers = new Headers({ 'content-type': 'application/json' })
      if (length) headers.set('content-length', length)
      const answer = await service.fetch('/api/write', { method: 'POST', headers, body: new Uint8Array(body) })
      expect([String(body), length, answer.status]).toEqual([String(body), length, status])
    }
  }
})
