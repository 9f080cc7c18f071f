import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { NewText } from '../db/store.ts'
import { ERRORS } from '../errors.ts'
import { type Sealed, seal, type Unlocked, unlock } from '../extension/seal.ts'
import { HOUR, hash, SECOND, type Stored, T, testApp, testStore, text } from './support/support.ts'

const REST = 60
const DAY = 24 * HOUR

/** A pool so small that codes run out and come back, and so little room that each part of it fills up. */
const POOL = 20
const ROOM = { maxTexts: 15, maxStoredBytes: 400 }

/** What the store must agree with: the text under each code that has one, and until when each returned code rests. */
interface Model {
  now: number
  texts: Map<string, NewText>
  /** By the token of a text: how often it was loaded, once it was or is gone. */
  receipts: Map<string, { eraseTokenHash: Buffer; loads: number; lastLoadedAt: number | null; expiresAt: number }>
  resting: Map<string, number>
}

/** Tokens that were made, by all sequences: a receipt outlives its text. */
let tokens = 0
const newHash = () => hash(`token ${++tokens}`)

function count(model: Model, { eraseTokenHash, expiresAt }: NewText, loads: 0 | 1) {
  const before = model.receipts.get(eraseTokenHash.toString('hex')) ?? { loads: 0, lastLoadedAt: null }
  const lastLoadedAt = loads > 0 ? model.now : before.lastLoadedAt
  const receipt = { eraseTokenHash, loads: before.loads + loads, lastLoadedAt, expiresAt }
  model.receipts.set(eraseTokenHash.toString('hex'), receipt)
}

const isLiving = (model: Model, code: string) => (model.texts.get(code)?.expiresAt ?? 0) > model.now

function giveBack(model: Model, code: string) {
  if (model.texts.delete(code)) model.resting.set(code, model.now + REST * SECOND)
}

/** A code that was lent before, if there is one. */
const pick = (model: Model, at: number) => {
  const codes = [...model.texts.keys(), ...model.resting.keys()]
  return codes[at % Math.max(1, codes.length)] ?? 'none'
}

/** Whether a text has no room beside those of the model. */
function hasNoRoom(model: Model, { body, writer, expiresAt }: NewText): boolean {
  const texts = [...model.texts.values()]
  const bytesOf = (texts: NewText[]) =>
    texts.reduce((sum, { body }) => sum + Buffer.byteLength(body), Buffer.byteLength(body))
  return (
    texts.length >= ROOM.maxTexts ||
    bytesOf(texts) > ROOM.maxStoredBytes ||
    (expiresAt - model.now > DAY && bytesOf(texts) > (ROOM.maxStoredBytes * 3) / 4) ||
    (writer !== null && bytesOf(texts.filter((text) => text.writer === writer)) > ROOM.maxStoredBytes / 10)
  )
}

class Write implements fc.AsyncCommand<Model, Stored> {
  constructor(
    readonly bodies: string[],
    readonly lifetime: number,
    readonly writer: number | null,
  ) {}
  check = () => true
  async run(model: Model, { store }: Stored) {
    const expiresAt = model.now + this.lifetime * SECOND
    const { writer } = this
    const texts = this.bodies.map((body) => text(body, { eraseTokenHash: newHash(), expiresAt, writer }))
    const roomless = texts.filter((text) => hasNoRoom(model, text))
    const stillResting = [...model.resting.values()].filter((until) => until > model.now).length
    const free = POOL - model.texts.size - stillResting
    const written = await Promise.allSettled(texts.map((text) => store.write(text, model.now)))
    const refused: [text: NewText, reason: string][] = []
    for (const [i, result] of written.entries()) {
      if (result.status === 'rejected') {
        refused.push([texts[i] as NewText, result.reason.reason])
        continue
      }
      expect(roomless).not.toContain(texts[i] as NewText)
      expect(model.texts.has(result.value)).toBe(false)
      expect(model.resting.get(result.value) ?? 0).toBeLessThanOrEqual(model.now)
      model.resting.delete(result.value)
      model.texts.set(result.value, texts[i] as NewText)
    }
    // In whichever order they came: who was refused finds no room beside those that were not.
    const taken = texts.length - refused.length
    expect(taken).toBeLessThanOrEqual(free)
    for (const [text, reason] of refused) {
      if (taken < free) expect([reason, hasNoRoom(model, text)]).toEqual(['storage_full', true])
      else expect(['storage_full', 'no_codes_left']).toContain(reason)
    }
    const there = [...model.texts.values()]
    expect(there.length).toBeLessThanOrEqual(ROOM.maxTexts)
    for (const [max, of] of [
      [ROOM.maxStoredBytes, there],
      [ROOM.maxStoredBytes / 10, there.filter((text) => writer !== null && text.writer === writer)],
    ] as const) {
      expect(of.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)).toBeLessThanOrEqual(max)
    }
  }
  toString = () => `write(${this.bodies.length} by ${this.writer} for ${this.lifetime} s)`
}

class Load implements fc.AsyncCommand<Model, Stored> {
  constructor(readonly at: number) {}
  check = () => true
  async run(model: Model, { store }: Stored) {
    const code = pick(model, this.at)
    const found = await store.load(code, model.now)
    const there = model.texts.get(code)
    if (found && there && isLiving(model, code)) {
      store.countLoad(found, model.now)
      count(model, there, 1)
      return expect(found.body).toBe(there.body)
    }
    expect(found).toBeUndefined()
    giveBack(model, code)
  }
  toString = () => `load(${this.at})`
}

class Erase implements fc.AsyncCommand<Model, Stored> {
  constructor(
    readonly at: number,
    readonly times: number,
    readonly right: boolean,
  ) {}
  check = () => true
  async run(model: Model, { store }: Stored) {
    const code = pick(model, this.at)
    const there = model.texts.get(code)
    const token = this.right
      ? there?.[this.at % 2 && there.receiveTokenHash ? 'receiveTokenHash' : 'eraseTokenHash']
      : undefined
    const erasing = Array.from({ length: this.times }, () => store.erase(code, token ?? Buffer.alloc(32), model.now))
    const erased = (await Promise.all(erasing)).filter(Boolean).length
    expect(erased).toBe(this.right && isLiving(model, code) ? 1 : 0)
    if (!erased || !there) return
    if (there.body !== '') count(model, there, 0)
    giveBack(model, code)
  }
  toString = () => `erase(${this.at}, ${this.times} times, ${this.right ? 'right' : 'wrong'})`
}

const isReceiving = ({ receiveTokenHash }: NewText) => receiveTokenHash !== null

class Receive implements fc.AsyncCommand<Model, Stored> {
  constructor(
    readonly times: number,
    readonly lifetime: number,
  ) {}
  check = () => true
  async run(model: Model, { store }: Stored) {
    const expiresAt = model.now + this.lifetime * SECOND
    const texts = Array.from({ length: this.times }, () => {
      const token = newHash()
      return text('', { eraseTokenHash: token, receiveTokenHash: token, publicKey: 'key', expiresAt })
    })
    const written = await Promise.allSettled(texts.map((text) => store.write(text, model.now)))
    for (const [i, result] of written.entries()) {
      const added = texts[i] as NewText
      if (result.status === 'fulfilled') {
        expect(model.texts.has(result.value)).toBe(false)
        expect(model.resting.get(result.value) ?? 0).toBeLessThanOrEqual(model.now)
        model.resting.delete(result.value)
        model.texts.set(result.value, added)
      } else expect(['storage_full', 'no_codes_left', 'too_many_waiting']).toContain(result.reason.reason)
    }
    const waiting = [...model.texts.values()].filter(isReceiving).length
    expect(waiting).toBeLessThanOrEqual(ROOM.maxTexts / 10 + 1)
    expect((await store.stats(model.now)).receiving).toBe(waiting)
    const refused = written.flatMap((result) => (result.status === 'rejected' ? [result.reason.reason] : []))
    if (refused.includes('too_many_waiting')) expect(waiting).toBe(Math.ceil(ROOM.maxTexts / 10))
  }
  toString = () => `receive(${this.times} for ${this.lifetime} s)`
}

class Fill implements fc.AsyncCommand<Model, Stored> {
  constructor(
    readonly at: number,
    readonly bodies: string[],
    readonly writer: number | null,
  ) {}
  check = () => true
  async run(model: Model, { store }: Stored) {
    const receiving = [...model.texts].filter(([, text]) => isReceiving(text)).map(([code]) => code)
    const code = receiving[this.at % (receiving.length + 1)] ?? pick(model, this.at)
    const there = model.texts.get(code)
    const isWaited = there !== undefined && isReceiving(there) && there.body === '' && isLiving(model, code)
    const all = this.bodies.map((body) => ({ body, seal: null, eraseTokenHash: newHash(), writer: this.writer }))
    const filled = await Promise.allSettled(all.map((filled) => store.fill(code, filled, model.now)))
    const won = filled.flatMap((result, at) => (result.status === 'fulfilled' && result.value ? [all[at]] : []))
    expect(won.length).toBeLessThanOrEqual(isWaited ? 1 : 0)
    for (const result of filled) if (result.status === 'rejected') expect(result.reason.reason).toBe('storage_full')
    // Alone, it is refused only for want of room.
    const others = new Map([...model.texts].filter(([other]) => other !== code))
    const alone = text(this.bodies[0] ?? '', { writer: this.writer, expiresAt: model.now })
    if (this.bodies.length === 1 && isWaited && !won[0])
      expect(hasNoRoom({ ...model, texts: others }, alone)).toBe(true)
    if (there && won[0]) model.texts.set(code, { ...there, ...won[0] })
  }
  toString = () => `fill(${this.at}, ${this.bodies.length} by ${this.writer})`
}

class Ask implements fc.AsyncCommand<Model, Stored> {
  constructor(readonly at: number) {}
  check = ({ receipts }: Model) => receipts.size > 0
  async run(model: Model, { store }: Stored) {
    const receipt = [...model.receipts.values()][this.at % model.receipts.size]
    const asked = await store.receipt(receipt?.eraseTokenHash as Buffer, model.now)
    expect(asked).toEqual(receipt && receipt.expiresAt > model.now ? receipt : undefined)
  }
  toString = () => `ask(${this.at})`
}

class Wait implements fc.AsyncCommand<Model, Stored> {
  constructor(readonly seconds: number) {}
  check = () => true
  async run(model: Model) {
    model.now += this.seconds * SECOND
  }
  toString = () => `wait(${this.seconds} s)`
}

class Sweep implements fc.AsyncCommand<Model, Stored> {
  check = () => true
  async run(model: Model, { store }: Stored) {
    const expired = [...model.texts.keys()].filter((code) => !isLiving(model, code))
    expect(await store.sweep(model.now)).toBe(expired.length)
    for (const code of expired) giveBack(model, code)
  }
  toString = () => 'sweep'
}

class Restart implements fc.AsyncCommand<Model, Stored> {
  check = () => true
  run = (_model: Model, real: Stored) => real.reopen()
  toString = () => 'restart'
}

test('any sequence of operations keeps the invariant of the pool and agrees with a model in memory', async () => {
  const commands = fc.commands(
    [
      fc
        .tuple(
          fc.array(fc.string({ unit: 'binary', minLength: 1 }), { minLength: 1, maxLength: 8 }),
          fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 200 }) }, fc.constant(DAY / SECOND + 1)),
          fc.constantFrom(null, null, 1, 2),
        )
        .map((args) => new Write(...args)),
      fc.nat().map((at) => new Load(at)),
      fc.tuple(fc.nat(), fc.integer({ min: 1, max: 5 }), fc.boolean()).map((args) => new Erase(...args)),
      fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 200 })).map((args) => new Receive(...args)),
      fc
        .tuple(
          fc.nat(),
          fc.array(fc.string({ unit: 'binary', minLength: 1 }), { minLength: 1, maxLength: 4 }),
          fc.constantFrom(null, 1, 2),
        )
        .map((args) => new Fill(...args)),
      fc.nat().map((at) => new Ask(at)),
      fc.integer({ min: 1, max: 150 }).map((seconds) => new Wait(seconds)),
      fc.constant(new Sweep()),
      fc.constant(new Restart()),
    ],
    { maxCommands: 80 },
  )
  // One database for all sequences: each begins with what the one before left, as a server would.
  await using real = await testStore({ codes: POOL, codeRestSeconds: REST, ...ROOM })
  let now = T
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const model: Model = { now, texts: new Map(), receipts: new Map(), resting: new Map() }
      try {
        await fc.asyncModelRun(() => ({ model, real }), sequence)
      } finally {
        now = model.now + 1e6 * SECOND
        await real.store.sweep(now)
        now += REST * SECOND
      }
      real.checkInvariant(POOL)
    }),
    { numRuns: 40 },
  )
})

/** A text, sealed and as it would be loaded. To derive a key takes half a second, so a few are made for all sequences. */
interface SealedText {
  text: string
  password: string
  once: boolean
  sealed: Sealed
  unlocked: Unlocked
}

interface SealedModel {
  now: number
  texts: Map<string, { of: SealedText; eraseToken: string; expiresAt: number }>
}

type Service = Awaited<ReturnType<typeof testApp>>

/** Each is another client: locks are tested elsewhere. */
let clients = 0
const ask = (service: Service, path: string, body: object) =>
  service.post(path, body, { 'x-client': `10.${(clients >> 16) & 255}.${(clients >> 8) & 255}.${clients++ & 255}` })

class WriteSealed implements fc.AsyncCommand<SealedModel, Service> {
  constructor(
    readonly of: SealedText,
    readonly expiresIn: number,
  ) {}
  check = () => true
  async run(model: SealedModel, service: Service) {
    const { sealed, once } = this.of
    const { auth: password, ...rest } = sealed
    const answer = await ask(service, '/api/write', { ...rest, password, once, expiresIn: this.expiresIn })
    const { code, eraseToken } = (await answer.json()) as { code: string; eraseToken: string }
    expect([answer.status, model.texts.has(code)]).toEqual([201, false])
    model.texts.set(code, { of: this.of, eraseToken, expiresAt: model.now + this.expiresIn * SECOND })
  }
  toString = () => `write sealed, ${this.of.once ? 'once' : 'many'}, for ${this.expiresIn} s`
}

class LoadSealed implements fc.AsyncCommand<SealedModel, Service> {
  constructor(
    readonly at: number,
    readonly key: 'right' | 'wrong' | 'password' | 'none',
    readonly take: boolean,
  ) {}
  check = ({ texts }: SealedModel) => texts.size > 0
  async run(model: SealedModel, service: Service) {
    const [code, { of, expiresAt }] = [...model.texts][this.at % model.texts.size] as never as [
      string,
      { of: SealedText; expiresAt: number },
    ]
    const passwords = { right: of.unlocked.auth, wrong: 'A'.repeat(43), password: of.password, none: undefined }
    const answer = await ask(service, '/api/load', { code, password: passwords[this.key], take: this.take })
    const body = (await answer.json()) as { text: string; seal?: string; once: boolean; error?: { code: string } }
    if (expiresAt <= model.now) {
      model.texts.delete(code)
      return expect(body.error?.code).toBe('not_found')
    }
    if (of.once && !this.take) return expect(body.error?.code).toBe('only_once')
    if (this.key === 'none')
      return expect(body.error).toMatchObject({ code: 'password_required', seal: of.sealed.seal })
    if (this.key !== 'right') return expect(body.error).toMatchObject({ code: 'wrong_password', seal: of.sealed.seal })
    expect([answer.status, body.seal, body.once]).toEqual([200, of.sealed.seal, of.once])
    expect(await of.unlocked.open(body.text, body.once)).toBe(of.text)
    if (of.once) model.texts.delete(code)
  }
  toString = () => `load(${this.at}) with ${this.key}${this.take ? '' : ', leaving it'}`
}

class EraseSealed implements fc.AsyncCommand<SealedModel, Service> {
  constructor(readonly at: number) {}
  check = ({ texts }: SealedModel) => texts.size > 0
  async run(model: SealedModel, service: Service) {
    const code = [...model.texts.keys()][this.at % model.texts.size] ?? ''
    const { eraseToken = '', expiresAt = 0 } = model.texts.get(code) ?? {}
    const { status } = await ask(service, '/api/erase', { code, eraseToken })
    expect(status).toBe(expiresAt > model.now ? 204 : 404)
    model.texts.delete(code)
  }
  toString = () => `erase(${this.at})`
}

test('any order of operations on sealed texts gives each to its password alone, and stores nothing readable', async () => {
  const made = fc.sample(
    fc.record({
      text: fc.string({ unit: 'grapheme', minLength: 8, maxLength: 500 }),
      password: fc.string({ unit: 'grapheme', minLength: 4, maxLength: 12 }),
      once: fc.boolean(),
    }),
    6,
  )
  const texts: SealedText[] = []
  for (const { text, password, once } of made) {
    const sealed = await seal(text, password, once)
    texts.push({ text, password, once, sealed, unlocked: await unlock(password, sealed.seal) })
  }
  await using service = await testApp()
  const commands = fc.commands(
    [
      fc.tuple(fc.constantFrom(...texts), fc.integer({ min: 60, max: 300 })).map((args) => new WriteSealed(...args)),
      fc
        .tuple(fc.nat(), fc.constantFrom('right', 'wrong', 'password', 'none'), fc.boolean())
        .map((args) => new LoadSealed(...args)),
      fc.nat().map((at) => new EraseSealed(at)),
      fc.integer({ min: 1, max: 200 }).map((seconds) => ({
        check: () => true,
        async run(model: SealedModel) {
          service.clock.now = model.now += seconds * SECOND
        },
        toString: () => `wait(${seconds} s)`,
      })),
    ],
    { maxCommands: 40 },
  )
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const model: SealedModel = { now: service.clock.now, texts: new Map() }
      await fc.asyncModelRun(() => ({ model, real: service }), sequence)
      const stored = JSON.stringify(service.query('SELECT body, password_hash FROM text'))
      for (const { text, password, sealed } of texts) {
        for (const secret of [text, password, sealed.auth])
          expect(stored).not.toContain(JSON.stringify(secret).slice(1, -1))
      }
    }),
    { numRuns: 40 },
  )
})

test('any JSON at all, sent to any route, gets a documented answer and never a 500', async () => {
  await using service = await testApp()
  const { code = '' } = (await service.api.write.post({ text: 'a', password: 'p' })).data ?? {}
  const documented = new Set([200, 201, 204, 302, ...Object.values(ERRORS).map(([status]) => status)] as number[])
  documented.delete(500)
  const field = fc.oneof(fc.jsonValue(), fc.constantFrom(code, 'p', '', 60, true, 'A'.repeat(22), '\ud800', -0, 1e308))
  const body = fc.oneof(
    fc.jsonValue(),
    fc.nat(9000).map((depth): unknown => JSON.parse(`${'{"code":['.repeat(depth)}1${']}'.repeat(depth)}`)),
    fc.record({ text: field, expiresIn: field, password: field, once: field, to: field }, { requiredKeys: [] }),
    fc.record({ code: field, password: field, eraseToken: field }, { requiredKeys: [] }),
  )
  const path = fc.oneof(
    fc.constantFrom(
      '/api/write',
      '/api/load',
      '/api/erase',
      '/api/status',
      '/api/receive',
      '/receive',
      '/',
      '/health',
      '/openapi/json',
      `/${code}`,
      '/?once&expires=1h',
    ),
    fc.webPath().map((path) => path || '/'),
    fc.tuple(fc.constantFrom('/', `/${code}`), fc.webQueryParameters()).map(([path, query]) => `${path}?${query}`),
  )
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS')
  const type = fc.constantFrom(
    'application/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    '',
  )
  await fc.assert(
    fc.asyncProperty(path, method, type, body, async (path, method, type, body) => {
      const response = await service.fetch(path, {
        method,
        headers: { 'content-type': type },
        ...(method !== 'GET' && method !== 'HEAD' && { body: JSON.stringify(body) }),
      })
      expect(documented).toContain(response.status)
      if (response.status < 400 || method === 'HEAD') return
      if (!path.startsWith('/api/') && !response.headers.get('content-type')?.startsWith('application/json')) {
        return expect(await response.text()).toMatch(/^\S.+\n/)
      }
      const { error } = (await response.json()) as { error: { code: keyof typeof ERRORS; message: string } }
      expect(ERRORS[error.code][0]).toBe(response.status as never)
      expect(error.message).not.toBe('')
    }),
    { numRuns: 3000 },
  )
})
