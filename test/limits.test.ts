import { expect, test } from 'bun:test'
import { createGuard } from '../guard.ts'
import { createApp } from '../index.ts'
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

test('a large body counts as a request for each mebibyte, and is refused where they run out', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '6' })
  const body = `{"text":"${'\\u0061'.repeat(500_000)}"}` // Three of them, less a little: counts as three.
  expect((await service.post('/api/write', body, guesser)).status).toBe(201)
  expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(201)
  expect(await told(await service.post('/api/write', body, guesser))).toEqual([429, 'too_many_requests', 60])
  expect((await service.post('/api/write', body, bystander)).status).toBe(201)
})

test('the page, its assets, health and preflights count towards a limit of their own, ten times a person’s', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '2' })
  const cheap = [
    () => service.fetch('/', { headers: guesser }),
    () => service.fetch('/health', { headers: guesser }),
    () => service.fetch('/api/load', { method: 'OPTIONS', headers: guesser }),
    () => service.fetch('/openapi/json', { headers: guesser }),
    () => service.fetch('/robots.txt', { headers: guesser }),
  ]
  for (let i = 0; i < 20; i++) expect((await cheap[i % 5]?.())?.status).toBe(i % 5 === 2 ? 204 : 200)
  for (const ask of cheap) {
    const refused = await ask()
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60'])
  }
  expect((await service.post('/api/write', { text: 'a' }, guesser)).status).toBe(201)
  expect((await service.fetch('/', { headers: bystander })).status).toBe(200)
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
  // No wait would help.
  expect((await told(await send('한한한한'))).slice(0, 2)).toEqual([413, 'text_too_large'])
  expect((await send('한한')).status).toBe(201)
  expect(await told(await send('12345'))).toEqual([429, 'too_many_bytes', 86_400])
  expect((await send('1234')).status).toBe(201)
  service.clock.now += 23 * HOUR
  expect(await told(await send('1'))).toEqual([429, 'too_many_bytes', 3600])
  service.clock.now += HOUR
  expect((await send('1234567890')).status).toBe(201)
})

test('a text that can never be stored is too large, not one to wait with', async () => {
  await using service = await testApp()
  for (const limit of [{ MAX_STORED_BYTES: 1000 }, { WRITE_BYTES_PER_DAY: 1000 }, { MAX_TEXT_BYTES: 1000 }]) {
    const app = createApp(service.store, { ...service.settings, ...limit })
    const send = (size: number) =>
      app.handle(new Request('http://localhost/', { method: 'POST', body: 'x'.repeat(size) }))
    const refused = await send(1001)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([413, null])
    expect(await refused.text()).toContain('1,000 bytes')
    expect((await send(1000)).status).toBe(201)
  }
})

test('a write that fails gives its bytes back', async () => {
  await using service = await testApp({ WRITE_BYTES_PER_DAY: '100', MAX_STORED_BYTES: '100', MAX_TEXT_BYTES: '10' })
  const send = (text: string, client = guesser) => service.post('/api/write', { text }, client)
  for (let i = 0; i < 9; i++) expect((await send('1234567890', from(`198.51.${i}.1`))).status).toBe(201)
  expect((await send('1', bystander)).status).toBe(201)
  for (let i = 0; i < 20; i++) expect((await send('1234567890')).status).toBe(507)
  expect((await send('123456789')).status).toBe(201)
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

test('a network may miss ten times as often as a client, and then refuses only clients with a miss of their own', async () => {
  for (const [network, address] of [
    ['an IPv6 /48', (client: number) => `2001:db8:1:${client}::1`],
    ['an IPv4 /24', (client: number) => `192.0.2.${client}`],
  ] as const) {
    await using service = await testApp({ MISSES_PER_HOUR: '4' })
    const { code } = await write(service, { expiresIn: 7200 })
    const missing = freeCodes(service, 50)
    const ask = (client: number, code = missing.pop()) => service.post('/api/load', { code }, from(address(client)))
    // Three each, so that none of them is refused for its own.
    for (let i = 0; i < 39; i++) expect((await ask(1 + Math.floor(i / 3))).status).toBe(404)
    expect((await ask(14)).status).toBe(404)
    expect([network, ...(await told(await ask(1, code)))]).toEqual([network, 429, 'too_many_misses', 3600])
    // A neighbour is served, also after others without a miss have had their first.
    for (let client = 21; client < 25; client++) expect((await ask(client, code)).status).toBe(200)
    expect((await ask(21)).status).toBe(404)
    expect((await ask(21)).status).toBe(429)
    expect((await service.post('/api/load', { code: missing.pop() }, from('203.0.113.1'))).status).toBe(404)
    service.clock.now += HOUR
    expect((await ask(1, code)).status).toBe(200)
  }
})

test('whoever has all addresses of a home or a site gets no guess for each of them, and locks out nobody else', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '4' })
  const { code } = await write(service, { expiresIn: 7200 })
  const missing = freeCodes(service, 2000)
  const ask = (address: string, code = missing.pop()) => service.post('/api/load', { code }, from(address))
  const guesses = async (address: (at: number) => string) => {
    const answers = []
    for (let at = 0; at < 200; at++) answers.push((await ask(address(at))).status)
    return answers.filter((status) => status === 404).length
  }
  expect(await guesses((at) => `2001:db8:1:1${(at + 16).toString(16)}::1`)).toBe(41)
  expect((await ask('2001:db8:1:1ff::1', code)).status).toBe(429)
  expect((await ask('2001:db8:1:2ff::1', code)).status).toBe(200)
  // And whoever has all homes of a site, one for each of them.
  for (const told of [200, 0]) expect(await guesses((at) => `2001:db8:1:${(at + 16).toString(16)}00::1`)).toBe(told)
  expect((await ask('2001:db8:2::1', code)).status).toBe(200)
  // Of an IPv4 /24 each address is one.
  expect(await guesses((at) => `192.0.2.${at}`)).toBe(200)
  expect((await ask('192.0.2.250', code)).status).toBe(200)
})

test('the /48s of an IPv6 /32 add up too', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '1' })
  const { code } = await write(service)
  const missing = freeCodes(service, 200)
  const ask = (site: number, code = missing.pop()) =>
    service.post('/api/load', { code }, from(`2001:db8:${site.toString(16)}::1`))
  for (let site = 1; site <= 101; site++) expect((await ask(site)).status).toBe(404)
  expect((await ask(102)).status).toBe(429)
  expect((await ask(0x100, code)).status).toBe(200)
  expect((await service.post('/api/load', { code: missing.pop() }, from('2001:db9::1'))).status).toBe(404)
})

test('private addresses have no network above them', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '1' })
  const missing = freeCodes(service, 100)
  for (let host = 1; host <= 30; host++) {
    for (const address of [`192.168.0.${host}`, `fd00:1:2:${host}::1`]) {
      expect((await service.post('/api/load', { code: missing.pop() }, from(address))).status).toBe(404)
    }
  }
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
  const { code } = await write(service)
  const once = await write(service, { once: true })
  const harmless = [
    service.post('/api/load', { code: once.code, take: false }, guesser),
    service.post('/api/load', { code: 'abc' }, guesser),
    service.fetch(`/${once.code}`, { headers: guesser }),
    service.fetch('/abcd', { headers: { ...guesser, accept: 'text/html' } }),
    service.fetch('/favicon.ico', { headers: guesser }),
  ]
  await Promise.all(harmless)
  expect((await service.post('/api/load', { code }, guesser)).status).toBe(200)
})

test('a code that tells no more than that a text is there counts as a miss until its password was right', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '2' })
  const [first, second, third] = [
    await write(service, { password: 'p', expiresIn: 7200 }),
    await write(service, { password: 'p', expiresIn: 7200, once: true }),
    await write(service, { password: 'p', expiresIn: 7200 }),
  ]
  const ask = (code: string, more: object = {}) => service.post('/api/load', { code, ...more }, guesser)
  for (let i = 0; i < 3; i++) expect((await ask(first.code)).status).toBe(401)
  expect((await ask(second.code, { take: false })).status).toBe(409)
  expect((await ask(third.code)).status).toBe(429)
  service.clock.now += HOUR
  expect((await ask(first.code)).status).toBe(401)
  expect((await ask(first.code, { password: 'p' })).status).toBe(200)
  // With a wrong password it tells as much.
  expect((await ask(second.code, { password: 'q' })).status).toBe(401)
  expect((await ask(third.code, { password: 'q' })).status).toBe(401)
  expect((await ask(freeCodes(service, 1)[0] ?? '')).status).toBe(429)
})

test('a code that is asked for again counts once in ten minutes', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '2' })
  const [missing, other] = freeCodes(service, 2)
  const ask = (code?: string) => service.post('/api/load', { code }, guesser)
  for (let i = 0; i < 20; i++) expect((await ask(missing)).status).toBe(404)
  service.clock.now += 10 * MINUTE
  expect((await ask(missing)).status).toBe(404)
  expect((await ask(other)).status).toBe(429)
})

test('a class of forty that types a code in small letters first gets its text', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '' })
  const { code } = await write(service)
  const ways = Array.from({ length: 16 }, (_, way) =>
    [...code].map((letter, at) => (way & (1 << at) ? letter.toUpperCase() : letter.toLowerCase())).join(''),
  ).filter((way) => way !== code)
  for (let pupil = 0; pupil < 40; pupil++) {
    expect((await service.post('/api/load', { code: ways[pupil % ways.length] }, guesser)).status).toBe(404)
    if (pupil % 8 === 7) expect((await service.post('/api/load', { code }, guesser)).status).toBe(200)
  }
  for (let pupil = 0; pupil < 40; pupil++) {
    expect((await service.post('/api/load', { code }, guesser)).status).toBe(200)
  }
})

test('a wrong letter is taken back too, of this hour alone, and counts for the day all the same', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '4' })
  const { code } = await write(service, { expiresIn: 86_400 })
  const missing = freeCodes(service, 20).filter((free) => [...free].every((letter, at) => letter !== code[at]))
  const ask = async (code?: string) => (await service.post('/api/load', { code }, guesser)).status
  const almost = [...'XYQ'].map((letter) => code.slice(0, 3) + (letter === code[3] ? 'Z' : letter))
  for (const mistyped of almost) expect(await ask(mistyped)).toBe(404)
  expect(await ask(code)).toBe(200)
  for (let i = 0; i < 3; i++) expect(await ask(missing.pop())).toBe(404)
  // What was mistyped in the last hour gives nothing in this one.
  service.clock.now += 50 * MINUTE
  expect(await ask(almost[0])).toBe(404)
  service.clock.now += HOUR
  expect(await ask(missing.pop())).toBe(404)
  expect(await ask(code)).toBe(200)
  for (let i = 0; i < 3; i++) expect(await ask(missing.pop())).toBe(404)
  expect(await ask(code)).toBe(429)
  service.clock.now += 4 * HOUR
  // Eleven are counted in the day, of twelve.
  for (const status of [404, 429]) expect(await ask(missing.pop())).toBe(status)
})

test('who goes on missing is locked for longer: an hour, then four, then a day', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '2', CODE_REST_SECONDS: '0' })
  const missing = freeCodes(service, 20)
  const ask = () => service.post('/api/load', { code: missing.pop() }, guesser)
  for (const hours of [1, 4, 24]) {
    for (let i = 0; i < 2; i++) expect((await ask()).status).toBe(404)
    expect(await told(await ask())).toEqual([429, 'too_many_misses', hours * 3600])
    service.clock.now += hours * HOUR - 1
    expect((await ask()).status).toBe(429)
    service.clock.now += 1
  }
  expect((await ask()).status).toBe(404)
})

test('who stays just below the misses of an hour has those of three in a day', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '4' })
  const missing = freeCodes(service, 20)
  const ask = () => service.post('/api/load', { code: missing.pop() }, guesser)
  for (let hour = 0; hour < 4; hour++) {
    for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(404)
    service.clock.now += HOUR
  }
  expect((await ask()).status).toBe(429)
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
  const missing = freeCodes(service, 60)
  const bursts = [
    (client: object, code?: string) => service.post('/api/load', { code }, client as typeof guesser),
    (client: object, code?: string) => service.post('/api/erase', { code, eraseToken: 'x' }, client as typeof guesser),
    (client: object, code?: string) => service.fetch(`/${code}`, { headers: client as typeof guesser }),
    (client: object, code?: string) => service.fetch(`/${code}`, { method: 'POST', headers: client as typeof guesser }),
  ]
  for (const [at, guess] of bursts.entries()) {
    const answers = await Promise.all(missing.map((code) => guess(from(`192.0.2.${100 + at}`), code)))
    expect([at, answers.filter((answer) => answer.status === 404).length]).toEqual([at, 20])
    expect(answers.filter((answer) => answer.status === 429)).toHaveLength(40)
  }
})

test('a right guess at the end of a burst is not told beyond the limit', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '20' })
  const missing = freeCodes(service, 60)
  const { code } = await write(service)
  for (const [at, size] of [25, 30, 33, 40, 60].entries()) {
    const client = from(`192.0.2.${100 + at}`)
    const guesses = missing.slice(0, size).map((code) => service.post('/api/load', { code }, client))
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
  await using service = await testApp({ MAX_TEXT_BYTES: '67108864', MAX_STORED_BYTES: '1000000000' })
  const hanging: ReadableStreamDefaultController[] = []
  const send = (megabytes: number) => {
    const body = new ReadableStream({
      start(controller) {
        hanging.push(controller)
        controller.enqueue(Buffer.alloc(megabytes * 1024 * 1024, 120))
      },
    })
    return service.fetch('/', { method: 'POST', headers: from(`192.0.2.${hanging.length}`), body })
  }
  const held = [send(60), send(60), send(8)]
  await service.fetch('/health') // By now all have arrived.
  expect((await send(1)).status).toBe(503)
  expect((await service.post('/api/write', { text: 'a' })).status).toBe(201)
  for (const controller of hanging) controller.error(new Error('gone'))
  await Promise.all(held)
  expect((await service.fetch('/', { method: 'POST', body: 'x'.repeat(60_000_000) })).status).toBe(201)
})

test('a body of the largest size is read however little may be held: to try again would not help', async () => {
  await using service = await testApp({ MAX_TEXT_BYTES: '67108864', MAX_STORED_BYTES: '1000000000' })
  const spaces = new Uint8Array(1024 * 1024).fill(32)
  let megabytes = 0
  const body = new ReadableStream({
    pull: (controller) => (megabytes++ < 140 ? controller.enqueue(spaces) : controller.close()),
  })
  const headers = { 'content-type': 'application/json' }
  expect((await service.fetch('/api/write', { method: 'POST', headers, body })).status).toBe(400)
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

test('writes that flood the queue of hashes keep no load from it, and what is refused stores nothing', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const flood = Array.from({ length: 120 }, (_, i) =>
    service.post('/api/write', { text: `${i}`, password: 'p' }, from(`198.51.${i}.1`)),
  )
  expect((await service.post('/api/load', { code, password: 'right' }, guesser)).status).toBe(200)
  const statuses = (await Promise.all(flood)).map((answer) => answer.status)
  expect(new Set(statuses)).toEqual(new Set([201, 503]))
  expect(service.query('SELECT count(*) AS n FROM text')).toEqual([{ n: 1 + statuses.filter((s) => s === 201).length }])
})

test('one client, and one network, has a share of the queue of hashes', async () => {
  await using service = await testApp()
  const write = async (address: (at: number) => string) => {
    const writes = Array.from({ length: 9 }, (_, at) =>
      service.post('/api/write', { text: 'a', password: 'p' }, from(address(at))),
    )
    const answers = await Promise.all(writes.map(async (write) => told(await write)))
    expect(answers.filter(([status]) => status === 503).every((answer) => answer[1] === 'busy')).toBe(true)
    return answers.filter(([status]) => status === 201).length
  }
  expect(await write(() => '192.0.2.1')).toBe(2)
  expect(await write((at) => `192.0.2.${at}`)).toBe(4)
  expect(await write((at) => `2001:db8:1:${at}::1`)).toBe(4)
  expect(await write((at) => `192.168.0.${at}`)).toBe(9)
})

test('loads that are more than the queue of hashes holds are refused as busy, and count as no try', async () => {
  await using service = await testApp()
  const { code } = await write(service, { password: 'right' })
  const loads = Array.from({ length: 49 }, (_, at) =>
    service.post('/api/load', { code, password: 'wrong' }, from(`203.0.${at}.1`)),
  )
  const answers = await Promise.all(loads.map(async (load) => (await told(await load)).slice(0, 2)))
  expect(new Set(answers.map(String))).toEqual(new Set(['401,wrong_password', '503,busy']))
  const busy = answers.findIndex(([status]) => status === 503)
  const again = await service.post('/api/load', { code, password: 'wrong' }, from(`203.0.${busy}.1`))
  expect(await again.json()).toMatchObject({ error: { triesLeft: 4 } })
})

test('the store takes no more bytes than it may, and has room again when texts go', async () => {
  await using service = await testApp({ MAX_STORED_BYTES: '100' })
  const send = (text: string) => service.post('/api/write', { text, expiresIn: 60 })
  for (let i = 0; i < 9; i++) await service.post('/api/write', { text: '1234567890', expiresIn: 600 })
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

test('the more guessing there is, the fewer misses each client has, and the right code opens all the while', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '20', REQUESTS_PER_MINUTE: '0' })
  const guard = createGuard(
    service.settings,
    () => service.clock.now,
    undefined,
    () => 10_000,
  )
  const codes = freeCodes(service, 60)
  const missesOf = async (client: string) => {
    for (const [at, code] of codes.entries()) {
      try {
        guard.refuseLookUp(client)
        await guard.miss(client, code)
      } catch {
        return at
      }
    }
  }
  const allowed: (number | undefined)[] = []
  for (let network = 0; network < 30; network++) allowed.push(await missesOf(`198.51.${network}.1`))
  expect([allowed[0], allowed.at(-1)]).toEqual([20, 3])
  expect(allowed.toSorted((a = 0, b = 0) => b - a)).toEqual(allowed)
  expect(() => guard.refuseLookUp('203.0.113.1')).not.toThrow()
  // An hour and a part later it is forgotten.
  service.clock.now += 80 * MINUTE
  expect(await missesOf('203.0.113.2')).toBe(20)
})
