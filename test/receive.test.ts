import { expect, test } from 'bun:test'
import { createReceipts } from '../db/receipts.ts'
import type { LentText, Receipt } from '../db/store.ts'
import { createGuard } from '../guard.ts'
import { createApp } from '../index.ts'
import { createWaiting } from '../waiting.ts'
import { errorCode, HOUR, hash, MINUTE, SECOND, T, testApp, testSettings, testStore, text } from './support/support.ts'

const PUBLIC_KEY = 'A'.repeat(43)
const SEAL = `1.hpke.${'B'.repeat(43)}`
const from = (client: string) => ({ 'x-client': client })

type Service = Awaited<ReturnType<typeof testApp>>
interface Lent {
  code: string
  receiveToken: string
  expiresAt: string
}

/** A service whose waits are over at once, by real time. */
async function service(env: Record<string, string> = {}) {
  const service = await testApp(env)
  const waiting = createWaiting(service.store, 1)
  const app = createApp(service.store, service.settings, () => service.clock.now, undefined, waiting)
  const post: Service['post'] = (path, body, headers = {}) =>
    app.handle(
      new Request(`http://localhost${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    )
  return { ...service, post }
}

const json = async <Answer>(answer: Promise<Response>) => (await (await answer).json()) as Answer
const receive = (service: Service, body = {}, client = '192.0.2.1') =>
  json<Lent>(service.post('/api/receive', body, from(client)))
const waitFor = ({ post }: Service, { code, receiveToken }: Lent, done?: true) =>
  post('/api/receive/wait', { code, receiveToken, done })
const writeTo = ({ post }: Service, to: string, text = 'a text', more = {}, client = '192.0.2.2') =>
  post('/api/write', { text, to, ...more }, from(client))
const statusOf = ({ post }: Service, { code, eraseToken }: { code: string; eraseToken: string }) =>
  post('/api/status', { code, eraseToken })

test('a code is taken, a text is written to it, and it is given to the receive token as often as it asks', async () => {
  await using there = await service()
  const lent = await receive(there)
  expect(lent).toEqual({
    code: expect.stringMatching(/^[A-Za-z]{4}$/),
    receiveToken: expect.stringMatching(/^[\w-]{22}$/),
    expiresAt: new Date(T + 10 * MINUTE).toISOString(),
  })
  expect((await waitFor(there, lent)).status).toBe(204)
  const written = await writeTo(there, ` ${lent.code}\n`, 'for you \0 🐦')
  expect([written.status, await written.json()]).toEqual([
    201,
    { code: lent.code, expiresAt: lent.expiresAt, eraseToken: expect.stringMatching(/^[\w-]{22}$/) },
  ])
  for (let i = 0; i < 3; i++) expect(await json(waitFor(there, lent))).toEqual({ text: 'for you \0 🐦' })
  for (let i = 0; i < 2; i++) expect((await waitFor(there, lent, true)).status).toBe(204)
  expect((await waitFor(there, lent)).status).toBe(404)
  expect((await there.store.stats(T)).texts).toBe(0)
})

test('who waits is woken by the text, and not kept until the wait is over', async () => {
  await using there = await testApp()
  const lent = await receive(there)
  const waits = Array.from({ length: 3 }, () => waitFor(there, lent))
  await writeTo(there, lent.code)
  expect(await Promise.all(waits.map(json))).toEqual(Array(3).fill({ text: 'a text' }))
})

test('a wait that ends leaves those that began under its code meanwhile to be woken', async () => {
  await using there = await testApp()
  const lent = await receive(there)
  const ends = new AbortController()
  const gone = there.app.handle(
    new Request('http://localhost/api/receive/wait', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code: lent.code, receiveToken: lent.receiveToken }),
      signal: ends.signal,
    }),
  )
  const stays = waitFor(there, lent)
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  ends.abort()
  expect((await gone).status).toBe(204)
  const later = waitFor(there, lent)
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  await writeTo(there, lent.code)
  expect([await json(stays), await json(later)]).toEqual([{ text: 'a text' }, { text: 'a text' }])
})

test('of many waits under one code the oldest are let go', async () => {
  await using there = await testApp()
  const lent = await receive(there)
  const waits = Array.from({ length: 7 }, () => waitFor(there, lent))
  const first = await Promise.all(waits.slice(0, 3))
  expect(first.map(({ status }) => status)).toEqual([204, 204, 204])
  await writeTo(there, lent.code)
  expect((await Promise.all(waits.slice(3))).map(({ status }) => status)).toEqual([200, 200, 200, 200])
})

test('of fifty that write to one code at once one succeeds, and the others are told so', async () => {
  await using there = await service()
  const lent = await receive(there)
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => writeTo(there, lent.code, `text ${i}`, {}, `198.51.100.${i}`)),
  )
  const [won] = answers.flatMap(({ status }, at) => (status === 201 ? [at] : []))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  for (const answer of answers) {
    if (answer.status === 201) continue
    expect([answer.status, await answer.json()]).toMatchObject([
      404,
      { error: { code: 'not_found', message: expect.stringContaining('Nobody waits for a text under this code') } },
    ])
  }
  expect(await json(waitFor(there, lent))).toEqual({ text: `text ${won}` })
})

test('what was filled in is read by no code, on no route, and erased by its writer alone', async () => {
  await using there = await service()
  const lent = await receive(there)
  const { eraseToken } = await json<{ eraseToken: string }>(writeTo(there, lent.code))
  expect(await errorCode(await there.post('/api/load', { code: lent.code }))).toBe('not_found')
  for (const method of ['GET', 'POST']) expect((await there.fetch(`/${lent.code}`, { method })).status).toBe(404)
  expect((await waitFor(there, { ...lent, receiveToken: 'A'.repeat(22) })).status).toBe(404)
  expect((await waitFor(there, { ...lent, receiveToken: eraseToken })).status).toBe(404)
  await waitFor(there, { ...lent, receiveToken: 'A'.repeat(22) }, true)
  expect(await json(waitFor(there, lent))).toEqual({ text: 'a text' })
  expect((await there.post('/api/erase', { code: lent.code, eraseToken })).status).toBe(204)
  expect((await waitFor(there, lent)).status).toBe(404)
})

test('a raw write to whoever waits that demands a password is refused, and nothing is taken', async () => {
  await using there = await service()
  const lent = await receive(there)
  for (const headers of [{ accept: '*/*' }, { authorization: `Basic ${btoa(':p')}` }] as Record<string, string>[]) {
    const answer = await there.fetch(`/${lent.code}?password`, { method: 'POST', body: 'a', headers })
    expect([answer.status, await answer.text()]).toEqual([422, expect.stringMatching(/^password: /)])
  }
  expect((await waitFor(there, lent)).status).toBe(204)
})

test('a code that waits is told to whoever loads it, with the key that it waits with', async () => {
  await using there = await service()
  const [sealed, open] = [await receive(there, { publicKey: PUBLIC_KEY }), await receive(there)]
  const load = (code: string) => json<{ error: object }>(there.post('/api/load', { code, take: false }))
  expect((await load(sealed.code)).error).toMatchObject({ code: 'receiving', publicKey: PUBLIC_KEY })
  expect((await load(open.code)).error).not.toHaveProperty('publicKey')
  const raw = await there.fetch(`/${open.code}`)
  expect([raw.status, await raw.text()]).toEqual([
    409,
    'Somebody waits for a text under this code: it can be written to, and not read.\n',
  ])
  await writeTo(there, sealed.code, 'c2VhbGVk', { seal: SEAL })
  expect(await json(waitFor(there, sealed))).toEqual({ text: 'c2VhbGVk', seal: SEAL })
})

test('who asks for nothing but who waits is given no text, and told alike of all that nobody waits under', async () => {
  await using there = await service({ MISSES_PER_HOUR: '6' })
  const ask = (code: string) => there.post('/api/load', { code, waiting: true })
  const lent = await receive(there, { publicKey: PUBLIC_KEY })
  expect((await json<{ error: object }>(ask(lent.code))).error).toMatchObject({
    code: 'receiving',
    publicKey: PUBLIC_KEY,
  })

  const written = await json<{ code: string; eraseToken: string }>(there.post('/api/write', { text: 'a text' }))
  const others = [{ once: true }, { password: 'p' }].map((more) =>
    json<{ code: string }>(there.post('/api/write', { text: 'another', ...more })),
  )
  const codes = [written.code, ...(await Promise.all(others)).map(({ code }) => code), 'qQzZ']
  const answers = []
  for (const code of codes) answers.push(await (await ask(code)).text())
  expect(new Set(answers).size).toBe(1)
  expect(answers[0]).toContain('Nobody waits for a text under this code')
  expect(await json(statusOf(there, written))).toMatchObject({ state: 'waiting', loads: 0 })
  // Each was a guess.
  expect([(await ask('qQzY')).status, (await ask('qQzX')).status]).toEqual([404, 429])
})

test('what does not belong to a text for somebody who waits is refused, and nothing is taken', async () => {
  await using there = await service()
  const lent = await receive(there)
  const argon2 = `1.argon2id.m=65536,t=3,p=1.${'A'.repeat(22)}`
  for (const [more, path] of [
    [{ password: 'p' }, 'password'],
    [{ password: 'A'.repeat(43), seal: argon2 }, 'password'],
    [{ seal: argon2 }, 'password'],
    [{ seal: SEAL, text: 'not base64url' }, 'text'],
    [{ seal: SEAL, to: undefined }, 'to'],
    [{ to: 'abc' }, 'to'],
    [{ text: '' }, 'text'],
  ] as const) {
    const answer = await writeTo(there, lent.code, 'text', more)
    const { error } = (await answer.json()) as { error: { issues: { path: string }[] } }
    expect([answer.status, error.issues[0]?.path]).toEqual([422, path])
  }
  for (const publicKey of ['', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}+`, 7]) {
    expect((await there.post('/api/receive', { publicKey })).status).toBe(422)
  }
  expect((await waitFor(there, lent)).status).toBe(204)
})

test('after ten minutes it is over: for who waits, who writes, and for what came', async () => {
  await using there = await service()
  const [empty, filled] = [await receive(there), await receive(there)]
  await writeTo(there, filled.code)
  there.clock.now += 10 * MINUTE - 1
  expect((await waitFor(there, filled)).status).toBe(200)
  there.clock.now++
  for (const lent of [empty, filled]) {
    expect((await writeTo(there, lent.code)).status).toBe(404)
    expect((await waitFor(there, lent)).status).toBe(404)
  }
  expect((await there.store.stats(there.clock.now)).texts).toBe(0)
})

test('a client waits under five codes at a time: one that is done, or over, makes room for the next', async () => {
  await using there = await service({ WRITES_PER_MINUTE: '100' })
  const lents: Lent[] = []
  const one = (client = '192.0.2.1') => there.post('/api/receive', {}, from(client))
  for (let i = 0; i < 5; i++) {
    there.clock.now = T + i * MINUTE
    lents.push(await receive(there))
  }
  const sixth = await one()
  expect([sixth.status, sixth.headers.get('retry-after'), await errorCode(sixth)]).toEqual([
    429,
    String(6 * 60),
    'too_many_requests',
  ])
  expect((await one('192.0.2.2')).status).toBe(201)
  await there.post('/api/receive/wait', { ...lents[2], expiresAt: undefined, done: true }, from('192.0.2.1'))
  const [next, over] = [await one(), await one()]
  expect([next.status, over.status]).toEqual([201, 429])
  there.clock.now = T + 10 * MINUTE
  expect([(await one()).status, (await one()).status]).toEqual([201, 429])
})

test('a code that takes the place of one that was given back is waited under for all of ten minutes', async () => {
  await using there = await service({ WRITES_PER_MINUTE: '100' })
  for (let i = 0; i < 7; i++) {
    const lent = await receive(there)
    expect(lent.expiresAt).toBe(new Date(there.clock.now + 10 * MINUTE).toISOString())
    await there.post('/api/receive/wait', { ...lent, expiresAt: undefined, done: true }, from('192.0.2.1'))
    there.clock.now += 9 * MINUTE
  }
})

test('who gives a code back while taking others is given one in its place, and no more', async () => {
  const guard = createGuard(testSettings({ WRITES_PER_MINUTE: '100' }), () => T)
  const take = (times: number) => Array.from({ length: times }, () => guard.admitReceiving('192.0.2.1'))
  await Promise.all(take(5))
  const atOnce = [guard.endReceiving('192.0.2.1', T + 10 * MINUTE), ...take(20)]
  const taken = [...(await Promise.allSettled(atOnce)).slice(1), ...(await Promise.allSettled(take(20)))]
  expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})

test('a code to wait under counts as a write, and what fails gives it back', async () => {
  await using there = await service({ WRITES_PER_MINUTE: '2', MAX_TEXTS: '10' })
  const answers = await Promise.all(
    ['1', '1', '1', '2'].map((i) => there.post('/api/receive', {}, from(`192.0.2.${i}`))),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 429, 503, 503])
})

test('codes that wait take a tenth of the texts that may be, and there is a word for it', async () => {
  await using there = await service({ MAX_TEXTS: '20' })
  const lents = [await receive(there), await receive(there)]
  const refused = await there.post('/api/receive', {})
  expect([refused.status, refused.headers.get('retry-after'), await errorCode(refused)]).toEqual([
    503,
    '60',
    'too_many_waiting',
  ])
  expect((await there.post('/api/write', { text: 'a' })).status).toBe(201)
  await writeTo(there, lents[0]?.code ?? '')
  expect((await there.post('/api/receive', {})).status).toBe(503)
  await waitFor(there, lents[0] as Lent, true)
  expect((await there.post('/api/receive', {})).status).toBe(201)
})

test('who takes a code while another is written to is not told that one more waits', async () => {
  await using stored = await testStore({ maxTexts: 20 })
  const waiting = (token: string) => text('', { receiveTokenHash: hash(token) })
  const code = await stored.store.write(waiting('a'), T)
  const filled = { body: 'for you', seal: null, eraseTokenHash: hash('b'), writer: 7 }
  const both = [stored.store.fill(code, filled, T), stored.store.write(waiting('c'), T)]
  expect(await Promise.all(both)).toEqual([true, expect.any(String)])
})

test('what is filled in has no more room than any text, and what has none leaves the code waiting', async () => {
  await using there = await service({ MAX_STORED_BYTES: '1000', MAX_TEXT_BYTES: '100' })
  const write = (body: object, client: string) => there.post('/api/write', body, from(client))
  const lent = await receive(there)
  await write({ text: 'a'.repeat(60) }, '192.0.2.2')
  const answers = [
    await writeTo(there, lent.code, 'b'.repeat(41), {}, '192.0.2.3'), // Of the same network.
    await writeTo(there, lent.code, 'b'.repeat(40), {}, '192.0.2.3'),
  ]
  expect(answers.map(({ status }) => status)).toEqual([507, 201])
  expect(await json(waitFor(there, lent))).toEqual({ text: 'b'.repeat(40) })
  expect((await there.store.stats(T)).bytes).toBe(100)
})

test('the first text of a network is no larger than all of its texts may be, also where it is filled in', async () => {
  await using stored = await testStore({ maxStoredBytes: 1000 })
  const code = await stored.store.write(text('', { receiveTokenHash: hash('a') }), T)
  const fill = (bytes: number, writer: number | null) =>
    stored.store.fill(code, { body: 'b'.repeat(bytes), seal: null, eraseTokenHash: hash('b'), writer }, T)
  await expect(fill(101, 7)).rejects.toMatchObject({ reason: 'storage_full' })
  expect(await fill(101, null)).toBe(true)
})

test('guessing codes that wait costs misses, whichever way, and a right one takes its glimpse back', async () => {
  await using there = await service({ MISSES_PER_HOUR: '5' })
  const lent = await receive(there)
  const tried = ['aaaa', 'bbbb', 'cccc', 'dddd']
  for (const code of tried) expect((await writeTo(there, code)).status).toBe(404)
  // That somebody waits is worth a guess, too: the fifth.
  expect((await there.post('/api/load', { code: lent.code }, from('192.0.2.2'))).status).toBe(409)
  expect(await errorCode(await writeTo(there, lent.code))).toBe('too_many_misses')
  for (const code of tried.slice(1)) await writeTo(there, code, 'a', {}, '203.0.113.1')
  await there.post('/api/load', { code: lent.code }, from('203.0.113.1'))
  expect((await writeTo(there, lent.code, 'a', {}, '203.0.113.1')).status).toBe(201)
  expect((await writeTo(there, 'eeee', 'a', {}, '203.0.113.1')).status).toBe(404)
  for (const [route, token, client] of [
    ['receive/wait', 'receiveToken', '203.0.113.9'],
    ['status', 'eraseToken', '203.0.113.10'],
  ] as const) {
    const errors = []
    for (const last of 'abcdef') {
      const asked = { code: `zzz${last}`, [token]: 'x' }
      errors.push(await errorCode(await there.post(`/api/${route}`, asked, from(client))))
    }
    expect(errors).toEqual([...Array(5).fill('not_found'), 'too_many_misses'])
  }
})

test('who is locked for guessing is still given what he waits for, and told of nothing else', async () => {
  await using there = await service({ MISSES_PER_HOUR: '3' })
  const lent = await receive(there)
  await writeTo(there, lent.code)
  const ask = (code: string, receiveToken: string) =>
    there.post('/api/receive/wait', { code, receiveToken }, from('192.0.2.1'))
  const guesses = []
  for (const code of ['aaaa', 'bbbb', 'cccc', 'dddd', lent.code]) guesses.push((await ask(code, 'x')).status)
  expect(guesses).toEqual([404, 404, 404, 429, 429])
  expect(await json(ask(lent.code, lent.receiveToken))).toEqual({ text: 'a text' })
})

test('a server with write keys lends a code to wait under for a key, and lets anybody write to it', async () => {
  const key = 'a-key-of-sixteen-letters'
  await using there = await service({ WRITE_KEYS: `anna:${key}` })
  expect(await errorCode(await there.post('/api/receive', {}))).toBe('write_key_required')
  const [one, other] = [
    await json<Lent>(there.post('/api/receive', {}, { 'x-write-key': key })),
    await json<Lent>(there.post('/api/receive', {}, { 'x-write-key': key })),
  ]
  const late = { text: 'x'.repeat(100_000), to: one.code }
  expect(await errorCode(await there.post('/api/write', late))).toBe('write_key_required')
  const early = { to: one.code, text: 'x'.repeat(100_000) }
  expect((await there.post('/api/write', early)).status).toBe(201)
  expect((await there.fetch(`/${other.code}`, { method: 'POST', body: 'raw' })).status).toBe(201)
  expect(await errorCode(await there.post('/api/write', { text: 'a "to"' }))).toBe('write_key_required')
})

test('a receipt says waiting, loaded and when, and for a text that is gone the same until it would have expired', async () => {
  await using there = await service()
  const write = (more = {}) =>
    json<{ code: string; eraseToken: string }>(there.post('/api/write', { text: 'a', ...more }))
  const [many, once, erased] = [await write(), await write({ once: true }), await write()]
  const expiresAt = new Date(T + HOUR).toISOString()
  expect(await json(statusOf(there, many))).toEqual({ state: 'waiting', loads: 0, expiresAt })
  for (let at = 1; at <= 3; at++) {
    there.clock.now = T + at * SECOND
    await there.post('/api/load', { code: many.code })
  }
  expect(await json(statusOf(there, many))).toEqual({
    ...{ state: 'loaded', loads: 3, expiresAt },
    lastLoadedAt: new Date(T + 3 * SECOND).toISOString(),
  })
  await there.post('/api/load', { code: once.code, take: false })
  expect(await json(statusOf(there, once))).toMatchObject({ state: 'waiting', loads: 0 })
  await there.post('/api/load', { code: once.code })
  await there.post('/api/erase', { code: erased.code, eraseToken: erased.eraseToken })
  const taken = { state: 'gone', loads: 1, lastLoadedAt: new Date(there.clock.now).toISOString(), expiresAt }
  for (const isSwept of [false, true]) {
    if (isSwept) await there.store.sweep(there.clock.now)
    expect(await json(statusOf(there, once))).toEqual(taken)
    expect(await json(statusOf(there, erased))).toEqual({ state: 'gone', loads: 0, expiresAt })
  }
  there.clock.now = T + HOUR
  await there.store.sweep(there.clock.now)
  for (const text of [many, once, erased]) expect((await statusOf(there, text)).status).toBe(404)
  expect(there.query('SELECT count(*) AS n FROM receipt')).toEqual([{ n: 0 }])
})

test('what is no load counts as none: HEAD, a redirect, a wrong password, a scanner that does not take', async () => {
  await using there = await service()
  const { code, eraseToken } = await json<{ code: string; eraseToken: string }>(
    there.post('/api/write', { text: 'a', password: 'p' }),
  )
  const basic = { authorization: `Basic ${btoa(':p')}` }
  await there.fetch(`/${code}`, { method: 'HEAD', headers: basic })
  await there.fetch(`/${code}`, { headers: { accept: 'text/html' } })
  await there.fetch(`/${code}`)
  await there.post('/api/load', { code, password: 'wrong' })
  expect(await json(statusOf(there, { code, eraseToken }))).toMatchObject({ state: 'waiting', loads: 0 })
  await there.fetch(`/${code}`, { headers: basic })
  expect(await json(statusOf(there, { code, eraseToken }))).toMatchObject({ state: 'loaded', loads: 1 })
})

test('the writer of a text for somebody who waits is told when it was fetched, also once it is done', async () => {
  await using there = await service()
  const lent = await receive(there)
  const written = await json<{ code: string; eraseToken: string }>(writeTo(there, lent.code))
  expect(await json(statusOf(there, written))).toMatchObject({ state: 'waiting', loads: 0 })
  await waitFor(there, lent)
  expect(await json(statusOf(there, written))).toMatchObject({ state: 'loaded', loads: 1 })
  await waitFor(there, lent, true)
  expect(await json(statusOf(there, written))).toMatchObject({ state: 'gone', loads: 1 })
})

test('the counted loads are stored when the store closes, and who waits finds the text after a restart', async () => {
  await using stored = await testStore()
  const code = await stored.store.write(text('a'), T)
  const found = await stored.store.load(code, T)
  for (let i = 0; i < 5; i++) stored.store.countLoad(found as NonNullable<typeof found>, T + i)
  const waiting = await stored.store.write(text('', { receiveTokenHash: hash('token'), publicKey: 'key' }), T)
  const filled = { body: 'for you', seal: null, eraseTokenHash: hash('b'), writer: 7 }
  expect(await stored.store.fill(waiting, filled, T)).toBe(true)
  await stored.reopen()
  expect(await stored.store.receipt(hash('a'), T)).toMatchObject({ loads: 5, lastLoadedAt: T + 4 })
  expect(await stored.store.load(waiting, T)).toMatchObject({
    body: 'for you',
    receiveTokenHash: hash('token'),
    writer: 7,
  })
  expect(await stored.store.stats(T)).toMatchObject({ texts: 2, bytes: 8, receiving: 1 })
  expect(await stored.store.fill(waiting, filled, T)).toBe(false)
})

test('two receipts of one text become one, however they come', async () => {
  await using stored = await testStore()
  const { store } = stored
  const code = await store.write(text('a'), T)
  const found = (await store.load(code, T)) as NonNullable<Awaited<ReturnType<typeof store.load>>>
  store.countLoad(found, T + 1)
  await Promise.all([store.erase(code, hash('a'), T + 2, 1), store.receipt(hash('a'), T)])
  expect(await store.receipt(hash('a'), T)).toMatchObject({ loads: 2, lastLoadedAt: T + 2 })
})

const counting = (receipts: ReturnType<typeof createReceipts>, tokens: string) => {
  for (const token of tokens)
    receipts.countLoad({ eraseTokenHash: Buffer.from(token), expiresAt: T + HOUR } as LentText, T)
}

test('what was stored is not counted again where the rest of it could not be', async () => {
  let stored = ''
  let isFull = true
  const add = async (counted: Receipt[]) => {
    if (isFull && stored !== '') throw new Error('The disk is full.')
    for (const { eraseTokenHash, loads } of counted) stored += `${eraseTokenHash}${loads} `
  }
  const receipts = createReceipts(add, 2, () => undefined)
  counting(receipts, 'abcde')
  await expect(receipts.store()).rejects.toThrow('The disk is full.')
  isFull = false
  await receipts.store()
  expect(stored).toBe('a1 b1 c1 d1 e1 ')
})

test('a load is in the receipt also where it is stored while that is asked for', async () => {
  let stored: Receipt | undefined
  const found = Promise.withResolvers<void>()
  const find = async () => {
    const receipt = stored
    await found.promise
    return receipt
  }
  const receipts = createReceipts(
    async (counted) => {
      stored = counted[0]
    },
    1,
    find,
  )
  counting(receipts, 'a')
  const asked = receipts.receipt(Buffer.from('a'), T)
  await new Promise(setImmediate)
  await receipts.store()
  found.resolve()
  expect(await asked).toMatchObject({ loads: 1 })
})
