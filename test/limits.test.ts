import { expect, test } from 'bun:test'
import { errorCode, HOUR, MINUTE, SECOND, testApp } from './support/support.ts'

const from = (client: string) => ({ 'x-client': client })
const [guesser, bystander] = [from('192.0.2.1'), from('192.0.2.2')]

type Service = Awaited<ReturnType<typeof testApp>>

const write = async (service: Service, more: object = {}) => {
  const response = await service.post('/api/write', { text: 'a', ...more }, bystander)
  return (await response.json()) as { code: string; eraseToken: string }
}

/** The code of an answer, and after how many seconds it says to try again. */
const told = async (response: Response) => [
  response.status,
  response.status < 400 ? undefined : await errorCode(response),
  Number(response.headers.get('retry-after')),
]

/** Codes that no text has. */
const freeCodes = (service: Service, count: number) =>
  service.query<{ code: string }>('SELECT code FROM code LIMIT ?', count).map(({ code }) => code)

test('a client gets its requests a minute, whatever they are and however they end', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '8' })
  const { code } = await write(service)
  const requests = [
    () => service.post('/api/load', { code }, guesser),
    () => service.post('/api/write', { text: 'a' }, guesser),
    () => service.post('/api/write', { text: '' }, guesser),
    () => service.post('/api/write', '{', guesser),
    () => service.post('/api/write', '{}', { ...guesser, 'content-type': 'text/plain' }),
    () => service.fetch(`/${code}`, { headers: guesser }),
    () => service.fetch('/no/such/page', { headers: guesser }),
    () => service.post('/api/load', { code: 'abcd', password: 5 }, guesser),
  ]
  for (const request of requests) expect((await request()).status).not.toBe(429)
  service.clock.now += 10_500
  for (const request of requests) {
    const refused = await request()
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '50'])
  }
  const raw = await service.fetch(`/${code}`, { headers: guesser })
  expect([raw.status, await raw.text()]).toEqual([
    429,
    'Too many requests came from your network address. Try again in 50 seconds.\n',
  ])
  expect((await service.post('/api/load', { code }, bystander)).status).toBe(200)
  service.clock.now += 49_499
  expect((await service.post('/api/load', { code }, guesser)).status).toBe(429)
  service.clock.now += 1
  expect((await service.post('/api/load', { code }, guesser)).status).toBe(200)
})

test('a client over its requests is refused before its body is read', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '1' })
  await service.post('/api/load', { code: 'abcd' }, guesser)
  let pulled = 0
  const body = new ReadableStream(
    { pull: (controller) => controller.enqueue(Buffer.alloc(++pulled)) },
    { highWaterMark: 0 },
  )
  const headers = { ...guesser, 'content-type': 'application/json' }
  expect((await service.fetch('/api/write', { method: 'POST', headers, body })).status).toBe(429)
  expect(pulled).toBe(0)
})

test('the page, health and preflights count towards no limit', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '2' })
  for (let i = 0; i < 10; i++) {
    for (const path of ['/', '/health']) expect((await service.fetch(path, { headers: guesser })).status).toBe(200)
    const preflight = await service.fetch('/api/load', { method: 'OPTIONS', headers: guesser })
    expect(preflight.status).toBe(204)
  }
  expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(201)
})

test('a client gets its writes a minute, on all routes together, and may still load', async () => {
  await using service = await testApp({ WRITES_PER_MINUTE: '3' })
  const { code } = await write(service)
  for (let i = 0; i < 2; i++) expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(201)
  expect((await service.fetch('/', { method: 'POST', headers: guesser, body: 'a' })).status).toBe(201)
  expect(await told(await service.post('/api/write', { text: 'a' }, guesser))).toEqual([429, 'too_many_requests', 60])
  expect((await service.fetch('/', { method: 'POST', headers: guesser, body: 'a' })).status).toBe(429)
  expect((await service.post('/api/load', { code }, guesser)).status).toBe(200)
  expect((await service.post('/api/write', { text: 'a' }, bystander)).status).toBe(201)
  service.clock.now += MINUTE
  expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(201)
})

test('a client gets its bytes a day; a text that does not fit leaves room for one that does', async () => {
  await using service = await testApp({ WRITE_BYTES_PER_DAY: '10' })
  const send = (text: string) => service.post('/api/write', { text }, guesser)
  expect(await told(await send('한한한한'))).toEqual([429, 'too_many_bytes', 86_400])
  expect((await send('한한')).status).toBe(201)
  expect(await told(await send('12345'))).toEqual([429, 'too_many_bytes', 86_400])
  expect((await send('1234')).status).toBe(201)
  service.clock.now += 23 * HOUR
  expect(await told(await send('1'))).toEqual([429, 'too_many_bytes', 3600])
  service.clock.now += HOUR
  expect((await send('1234567890')).status).toBe(201)
})

test('a write that fails gives its bytes back', async () => {
  await using service = await testApp({ WRITE_BYTES_PER_DAY: '10', MAX_STORED_BYTES: '50' })
  for (let i = 0; i < 5; i++) {
    expect((await service.post('/api/write', { text: '1234567890' }, guesser)).status).toBe(507)
  }
  expect((await service.post('/api/write', { text: '12345' }, guesser)).status).toBe(201)
})

test('a client that asks for 20 codes without a text is refused every look-up on every route for an hour', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '' })
  const { code, eraseToken } = await write(service, { expiresIn: 7200 })
  const once = await write(service, { once: true })
  const missing = freeCodes(service, 20)
  const guesses = [
    (code: string) => service.post('/api/load', { code }, guesser),
    (code: string) => service.post('/api/erase', { code, eraseToken }, guesser),
    (code: string) => service.fetch(`/${code}`, { headers: guesser }),
    (code: string) => service.fetch(`/${code}`, { method: 'POST', headers: guesser }),
  ]
  for (const [at, code] of missing.entries()) expect((await guesses[at % 4]?.(code))?.status).toBe(404)
  service.clock.now += 90_400
  const refused = await service.post('/api/load', { code }, guesser)
  expect(refused.headers.get('retry-after')).toBe(String(3600 - 90))
  expect(await refused.json()).toEqual({
    error: {
      code: 'too_many_misses',
      message:
        'Too many codes without a text were asked for from your network address, as someone who guesses codes would do. ' +
        'Loading and erasing are paused for everyone who shares this address; writing is not. Try again in 59 minutes.',
    },
  })
  for (const guess of guesses) expect((await guess(code)).status).toBe(429)
  expect((await service.fetch(`/${once.code}`, { method: 'POST', headers: guesser })).status).toBe(429)
  expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(201)
  expect((await service.post('/api/load', { code }, bystander)).status).toBe(200)
  service.clock.now += HOUR - 90_401
  expect(await told(await service.post('/api/load', { code }, guesser))).toEqual([429, 'too_many_misses', 1])
  service.clock.now += 1
  expect((await service.post('/api/load', { code }, guesser)).status).toBe(200)
  expect((await service.post('/api/erase', { code, eraseToken }, guesser)).status).toBe(204)
})

test('the clients of one IPv6 /48 may miss ten times as often together as one alone', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '2' })
  const [code] = freeCodes(service, 1)
  const ask = (address: string) => service.post('/api/load', { code }, from(address))
  for (let client = 0; client < 10; client++) {
    for (let i = 0; i < 2; i++) expect((await ask(`2001:db8:1:${client}::${i}`)).status).toBe(404)
    expect((await ask(`2001:db8:1:${client}::9`)).status).toBe(429)
  }
  expect(await told(await ask('2001:db8:1:ffff::1'))).toEqual([429, 'too_many_misses', 3600])
  expect((await ask('2001:db8:2::1')).status).toBe(404)
  service.clock.now += HOUR
  expect((await ask('2001:db8:1:ffff::1')).status).toBe(404)
})

test('a refused look-up looks nothing up: not even an expired text is returned', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '1' })
  const { code } = await write(service, { expiresIn: 60 })
  await service.post('/api/load', { code: freeCodes(service, 1)[0] }, guesser)
  service.clock.now += MINUTE
  expect((await service.post('/api/load', { code }, guesser)).status).toBe(429)
  expect(service.query('SELECT code FROM text')).toEqual([{ code }])
})

test('what is no miss is not counted as one', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '1' })
  const { code } = await write(service, { password: 'p' })
  const once = await write(service, { once: true })
  const harmless = [
    service.post('/api/load', { code }, guesser),
    service.post('/api/load', { code, password: 'q' }, guesser),
    service.post('/api/load', { code: 'abc' }, guesser),
    service.fetch(`/${once.code}`, { headers: guesser }),
    service.fetch('/abcd', { headers: { ...guesser, accept: 'text/html' } }),
    service.fetch('/favicon.ico', { headers: guesser }),
  ]
  await Promise.all(harmless)
  expect((await service.post('/api/load', { code, password: 'p' }, guesser)).status).toBe(200)
})

test('misses further apart than an hour never add up', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '2' })
  const [a = '', b = ''] = freeCodes(service, 2)
  for (const code of [a, b, a, b]) {
    expect((await service.post('/api/load', { code }, guesser)).status).toBe(404)
    service.clock.now += HOUR
  }
})

test('five wrong passwords lock a text for that client for half an hour, and say how many tries are left', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const send = (password: string, headers: Record<string, string>) =>
    service.post('/api/load', { code, password }, headers)
  for (const left of [4, 3, 2, 1, 0]) {
    const answer = (await (await send('wrong', guesser)).json()) as { error: { triesLeft: number } }
    expect(answer.error.triesLeft).toBe(left)
  }
  for (const password of ['wrong', 'right']) {
    expect(await told(await send(password, guesser))).toEqual([429, 'too_many_passwords', 1800])
  }
  expect((await send('right', bystander)).status).toBe(200)
  service.clock.now += 30 * MINUTE - 1
  expect(await told(await send('right', guesser))).toEqual([429, 'too_many_passwords', 1])
  service.clock.now += 1
  expect((await send('right', guesser)).status).toBe(200)
})

test('a right password clears the wrong ones before it', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const send = (password: string) => service.post('/api/load', { code, password }, guesser)
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 4; i++) expect((await send('wrong')).status).toBe(401)
    expect((await send('right')).status).toBe(200)
  }
})

test('wrong passwords further apart than ten minutes never lock', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  for (let i = 0; i < 6; i++) {
    expect((await service.post('/api/load', { code, password: 'wrong' }, guesser)).status).toBe(401)
    service.clock.now += 10 * MINUTE
  }
})

test('a burst of wrong passwords gets no more hashes than tries one by one', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const burst = await Promise.all(
    Array.from({ length: 20 }, () => service.post('/api/load', { code, password: 'wrong' }, guesser)),
  )
  expect(burst.filter((answer) => answer.status === 401)).toHaveLength(5)
  expect(burst.filter((answer) => answer.status === 429)).toHaveLength(15)
})

test('fifty wrong passwords from many clients lock a text for ten minutes, and no other text', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const other = await write(service, { password: 'right' })
  for (let group = 0; group < 10; group++) {
    const answers = Array.from({ length: 5 }, (_, i) =>
      service.post('/api/load', { code, password: 'wrong' }, from(`198.51.100.${group * 5 + i}`)),
    )
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(401)
  }
  const right = { code, password: 'right' }
  expect(await told(await service.post('/api/load', right, bystander))).toEqual([429, 'too_many_passwords', 600])
  expect((await service.post('/api/load', { ...right, code: other.code }, bystander)).status).toBe(200)
  service.clock.now += 10 * MINUTE
  expect((await service.post('/api/load', right, bystander)).status).toBe(200)
})

test('right passwords never lock a text, however many load it', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  for (let group = 0; group < 6; group++) {
    const loads = Array.from({ length: 10 }, (_, i) =>
      service.post('/api/load', { code, password: 'right' }, from(`198.51.100.${i % 2}`)),
    )
    for (const load of await Promise.all(loads)) expect(load.status).toBe(200)
  }
})

test('many clients that load a text with its password at once are let through or told to come again, never locked', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const loads = await Promise.all(
    Array.from({ length: 120 }, (_, i) =>
      service.post('/api/load', { code, password: 'right' }, from(`198.51.100.${i}`)),
    ),
  )
  const answers = await Promise.all(loads.map(told))
  for (const answer of answers) if (answer[0] !== 200) expect(answer).toEqual([503, 'busy', 3])
  expect(answers.filter(([status]) => status === 200).length).toBeGreaterThan(20)
})

test('a class behind one address that loads a text with its password at once is let through', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const loads = Array.from({ length: 40 }, () => service.post('/api/load', { code, password: 'right' }, bystander))
  for (const load of await Promise.all(loads)) expect(load.status).toBe(200)
})

test('a burst of guesses is counted guess by guess, on every route', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '20' })
  const [missing = ''] = freeCodes(service, 1)
  const { code } = await write(service)
  const bursts = [
    (client: object) => service.post('/api/load', { code: missing }, client as typeof guesser),
    (client: object) => service.post('/api/erase', { code: missing, eraseToken: 'x' }, client as typeof guesser),
    (client: object) => service.post('/api/erase', { code, eraseToken: 'x' }, client as typeof guesser),
    (client: object) => service.fetch(`/${missing}`, { headers: client as typeof guesser }),
    (client: object) => service.fetch(`/${missing}`, { method: 'POST', headers: client as typeof guesser }),
  ]
  for (const [at, guess] of bursts.entries()) {
    const answers = await Promise.all(Array.from({ length: 60 }, () => guess(from(`192.0.2.${100 + at}`))))
    expect([at, answers.filter((answer) => answer.status === 404).length]).toEqual([at, 20])
    expect(answers.filter((answer) => answer.status === 429)).toHaveLength(40)
  }
})

test('a right guess at the end of a burst is not told beyond the limit', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '20' })
  const [missing = ''] = freeCodes(service, 1)
  const { code } = await write(service)
  for (const [at, size] of [25, 30, 33, 40, 60].entries()) {
    const client = from(`192.0.2.${100 + at}`)
    const guesses = Array.from({ length: size }, () => service.post('/api/load', { code: missing }, client))
    expect((await service.post('/api/load', { code }, client)).status).toBe(429)
    await Promise.all(guesses)
  }
})

test('a request counts although it is broken off', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '3' })
  const broken = () =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from('{"text":"'))
        controller.error(new Error('gone'))
      },
    })
  for (const path of ['/api/write', '/', '/abcd']) {
    const headers = { ...guesser, 'content-type': 'application/json' }
    await service.fetch(path, { method: 'POST', headers, body: broken() })
  }
  expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(429)
})

test('bodies that do not end take a bounded part of the memory, and leave room for small ones', async () => {
  await using service = await testApp({ MAX_TEXT_BYTES: '67108864' })
  const hanging: ReadableStreamDefaultController[] = []
  const send = (megabytes: number) => {
    const body = new ReadableStream({
      start(controller) {
        hanging.push(controller)
        controller.enqueue(Buffer.alloc(megabytes * 1024 * 1024, 120))
      },
    })
    return service.fetch('/', { method: 'POST', headers: guesser, body })
  }
  const held = [send(60), send(60), send(8)]
  await service.fetch('/health') // By now all have arrived.
  expect((await send(1)).status).toBe(503)
  expect((await service.post('/api/write', { text: 'a' })).status).toBe(201)
  for (const controller of hanging) controller.error(new Error('gone'))
  await Promise.all(held)
  expect((await service.fetch('/', { method: 'POST', body: 'x'.repeat(60_000_000) })).status).toBe(201)
})

test('a lock does not outlive its text: a later text with the same code opens', async () => {
  await using service = await testApp({ CODE_REST_SECONDS: '0' })
  const first = await write(service, { password: 'right' })
  for (let i = 0; i < 5; i++) await service.post('/api/load', { code: first.code, password: 'wrong' }, guesser)
  await service.post('/api/erase', { code: first.code, eraseToken: first.eraseToken }, bystander)
  // Every other code is put to rest, so that the next text gets the same one.
  service.query('UPDATE code SET rests_until = ? WHERE code <> ?', service.clock.now + HOUR, first.code)
  const second = await write(service, { password: 'right' })
  expect(second.code).toBe(first.code)
  expect((await service.post('/api/load', { code: second.code, password: 'right' }, guesser)).status).toBe(200)
})

test('more hashes than the queue holds are refused as busy, count as no try, and store nothing', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const flood = Array.from({ length: 120 }, (_, i) =>
    service.post('/api/write', { text: `${i}`, password: 'p' }, from(`198.51.100.${i}`)),
  )
  const tries = Array.from({ length: 10 }, () => service.post('/api/load', { code, password: 'wrong' }, guesser))
  const refused = await Promise.all(tries)
  for (const answer of refused) expect(await told(answer)).toEqual([503, 'busy', 3])
  const statuses = (await Promise.all(flood)).map((answer) => answer.status)
  expect(new Set(statuses)).toEqual(new Set([201, 503]))
  expect(service.query('SELECT count(*) AS n FROM text')).toEqual([{ n: 1 + statuses.filter((s) => s === 201).length }])
  const after = (await (await service.post('/api/load', { code, password: 'wrong' }, guesser)).json()) as {
    error: { triesLeft: number }
  }
  expect(after.error.triesLeft).toBe(4)
})

test('the store takes no more bytes than it may, and has room again when texts go', async () => {
  await using service = await testApp({ MAX_STORED_BYTES: '10' })
  const send = (text: string) => service.post('/api/write', { text, expiresIn: 60 })
  const first = (await (await send('123456')).json()) as { code: string; eraseToken: string }
  const refused = await send('한한')
  expect([refused.status, await errorCode(refused)]).toEqual([507, 'storage_full'])
  expect((await send('1234')).status).toBe(201)
  await service.post('/api/erase', { code: first.code, eraseToken: first.eraseToken })
  expect((await send('한한')).status).toBe(201)
  service.clock.now += MINUTE
  expect((await send('1')).status).toBe(507)
  await service.store.sweep(service.clock.now)
  expect((await send('1234567890')).status).toBe(201)
})

test('one network takes a tenth of the room and no more, whichever of its clients writes; others and a network of one’s own go on', async () => {
  await using service = await testApp({ MAX_STORED_BYTES: '100' })
  const send = (client: string) => service.post('/api/write', { text: '12345' }, { 'x-client': client })
  for (const [here, there] of [
    ['203.0.113.', '198.51.100.7'],
    ['2001:db8:1:', '2001:db8:2:1::1'],
  ] as const) {
    const neighbours = Array.from({ length: 4 }, (_, i) => `${here}${i}${here.includes(':') ? '::1' : ''}`)
    const statuses = []
    for (const client of neighbours) statuses.push((await send(client)).status)
    expect(statuses).toEqual([201, 201, 507, 507])
    const refused = (await (await send(neighbours[0] ?? '')).json()) as { error: { message: string } }
    expect(refused.error.message).toMatch(
      /^The texts from your network take as much of the room .* as those of one network may\./,
    )
    expect((await send(there)).status).toBe(201)
  }
  const ownNetwork = ['192.168.1.2', '192.168.1.3', '10.0.0.1', '::1', '127.0.0.1', 'fd00::1', 'no address']
  for (const client of ownNetwork) expect((await send(client)).status).toBe(201)
})

test('no code left is told with the time at which there is one again, and nothing is lost', async () => {
  await using service = await testApp()
  const { code } = await write(service)
  service.query('UPDATE code SET rests_until = ?', service.clock.now + 90 * SECOND)
  expect(await told(await service.post('/api/write', { text: 'a' }))).toEqual([503, 'no_codes_left', 90])
  service.clock.now += 30 * SECOND
  expect(await told(await service.post('/api/write', { text: 'a' }))).toEqual([503, 'no_codes_left', 60])
  expect((await service.post('/api/load', { code })).status).toBe(200)
  service.clock.now += 60 * SECOND
  expect((await service.post('/api/write', { text: 'a' })).status).toBe(201)
})

test('a clock that is set back or forward an hour refuses nobody for longer, and keeps what it has stored', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '3' })
  const { code } = await write(service, { expiresIn: 86_400 })
  const ask = async () => (await service.post('/api/load', { code }, guesser)).status
  for (const hours of [0, -1, 2]) {
    service.clock.now += hours * HOUR
    expect([hours, await ask(), await ask(), await ask(), await ask()]).toEqual([hours, 200, 200, 200, 429])
    service.clock.now += MINUTE
    expect([hours, await ask()]).toEqual([hours, 200])
    service.clock.now += MINUTE
  }
})

test('a limit of 0 is no limit', async () => {
  await using service = await testApp()
  const [code] = freeCodes(service, 1)
  for (let i = 0; i < 200; i++) expect((await service.post('/api/load', { code }, guesser)).status).toBe(404)
})
