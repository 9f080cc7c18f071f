/** Sealing without a browser: the format, against two other implementations, and all that may not be opened. */
import { afterEach, describe, expect, jest, spyOn, test } from 'bun:test'
import { argon2Sync, createDecipheriv, hkdfSync } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { fromBase64url, toBase64url } from '../extension/base64url.ts'
import type { SealError } from '../extension/pack.ts'
import { seal, unlock } from '../extension/seal.ts'
import { suggestPassword } from '../extension/suggest.ts'
import fixture from './fixtures/seal-vectors.json' with { type: 'json' }

afterEach(() => jest.restoreAllMocks())

/** Why it could not be done; undefined where it could. */
const reason = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: SealError) => error.reason,
  )

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 3000 })
const password = fc.string({ unit: 'binary', minLength: 1, maxLength: 64 })

/** Opens what we sealed by the Argon2, HKDF, AES and deflate of Node's API, without a line of ours. */
function openElsewhere(sealed: { text: string; seal: string }, password: string, once: boolean) {
  const [, , parameters = '', salt = ''] = sealed.seal.split('.')
  expect(parameters).toBe('m=65536,t=3,p=1')
  const master = argon2Sync('argon2id', {
    message: Buffer.from(password.normalize('NFC')),
    nonce: Buffer.from(salt, 'base64url'),
    memory: 65_536,
    passes: 3,
    parallelism: 1,
    tagLength: 32,
  })
  const derive = (info: string) => Buffer.from(hkdfSync('sha256', master, '', info, 32))
  const bytes = Buffer.from(sealed.text, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', derive('extextcloud key'), bytes.subarray(0, 12))
  decipher.setAAD(Buffer.from(`${sealed.seal}.${once ? 'once' : 'many'}`)).setAuthTag(bytes.subarray(-16))
  const packed = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
  const content = packed.subarray(5, 5 + packed.readUInt32BE(1))
  const plain = packed[0] === 1 ? inflateRawSync(content) : content
  return {
    text: plain.toString(),
    auth: derive('extextcloud auth').toString('base64url'),
    isDeflated: packed[0] === 1,
    packedBytes: packed.length,
    padding: packed.subarray(5 + content.length),
  }
}

test('any text under any password is opened with it, and asks the server for the same thing', async () => {
  await fc.assert(
    fc.asyncProperty(text, password, fc.boolean(), async (text, password, once) => {
      const sealed = await seal(text, password, once)
      const unlocked = await unlock(password, sealed.seal)
      expect(unlocked.auth).toBe(sealed.auth)
      expect(await unlocked.open(sealed.text, once)).toBe(text)
    }),
    { numRuns: 15 },
  )
})

test('what we seal, another implementation opens', async () => {
  const random = crypto.getRandomValues(new Uint8Array(786_432))
  const texts: [text: string, isDeflated: boolean][] = [
    ['a', false],
    ['\0', false],
    ['\ufeff🧵 두 줄\r\n\u0301', false],
    ['the same words again and again. '.repeat(99), true],
    ['0123456789abcdef'.repeat(65_536), true],
    [random.toBase64(), true],
  ]
  for (const [text, isDeflated] of texts) {
    const sealed = await seal(text, 'p\u0061\u0308ss', true)
    const opened = openElsewhere(sealed, 'p\u00e4ss', true)
    expect(opened.text === text).toBe(true)
    expect(opened).toMatchObject({ auth: sealed.auth, isDeflated })
    expect(opened.padding.every((byte) => byte === 0)).toBe(true)
  }
})

test('what another implementation sealed, we open', async () => {
  for (const { name, opens, times, password, once, seal, text, auth } of fixture.vectors) {
    const unlocked = await unlock(password, seal)
    expect([name, unlocked.auth]).toEqual([name, auth])
    const opened = await unlocked.open(text, once)
    expect([name, opened === opens.repeat(times)]).toEqual([name, true])
  }
})

test('what opens and is no text, or one larger than any, is refused', async () => {
  for (const { name, password, once, seal, text } of fixture.broken) {
    const unlocked = await unlock(password, seal)
    expect([name, await reason(unlocked.open(text, once))]).toEqual([name, 'content'])
  }
})

test('the same text under the same password is never sealed twice alike', async () => {
  const [one, other] = await Promise.all([seal('a', 'p', false), seal('a', 'p', false)])
  for (const part of ['text', 'seal', 'auth'] as const) expect(one[part]).not.toBe(other[part])
})

test('texts of about the same length are sealed to the same length', async () => {
  const random = crypto.getRandomValues(new Uint8Array(6000)).toHex()
  const lengths: number[] = []
  for (const length of [9000, 9050, 9100]) lengths.push((await seal(random.slice(0, length), 'p', false)).text.length)
  expect(new Set(lengths).size).toBe(1)
})

test('a password is the same, however a keyboard composed it', async () => {
  const sealed = await seal('a', '\u1100\u1161\u0301', false)
  expect(await (await unlock('\uac00\u0301', sealed.seal)).open(sealed.text, false)).toBe('a')
})

describe('a sealed text', () => {
  test('is opened by no other password', async () => {
    await fc.assert(
      fc.asyncProperty(text, password, password, async (text, password, other) => {
        fc.pre(password.normalize('NFC') !== other.normalize('NFC'))
        const sealed = await seal(text, password, false)
        const unlocked = await unlock(other, sealed.seal)
        expect(unlocked.auth).not.toBe(sealed.auth)
        expect(await reason(unlocked.open(sealed.text, false))).toBe('tampered')
      }),
      { numRuns: 8 },
    )
  })

  test('is not opened when any of its bytes is another: of IV, ciphertext or tag', async () => {
    const sealed = await seal('a text of some length', 'p', true)
    const { open } = await unlock('p', sealed.seal)
    const bytes = fromBase64url(sealed.text)
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [1, 128]) {
        const changed = bytes.with(at, (bytes[at] ?? 0) ^ flip)
        expect([at, await reason(open(toBase64url(changed), true))]).toEqual([at, 'tampered'])
      }
    }
    expect(await open(sealed.text, true)).toBe('a text of some length')
  })

  test('is not opened when letters of it are missing, more, or others', async () => {
    const sealed = await seal('a', 'p', true)
    const { open } = await unlock('p', sealed.seal)
    for (let length = 0; length < sealed.text.length; length++) {
      expect(await reason(open(sealed.text.slice(0, length), true))).toBe('tampered')
    }
    for (const change of ['A', '=', '==', ' ', '\n', '+', '/', '\ud800', '🧵', 'A'.repeat(1_000_000)]) {
      expect(await reason(open(sealed.text + change, true))).toBe('tampered')
      expect(await reason(open(change + sealed.text, true))).toBe('tampered')
      expect(await reason(open(change, true))).toBe('tampered')
    }
  })

  test('to be read once is not opened as one to be read often, nor the other way round', async () => {
    for (const once of [true, false]) {
      const sealed = await seal('a', 'p', once)
      expect(await reason((await unlock('p', sealed.seal)).open(sealed.text, !once))).toBe('tampered')
    }
  })

  test('is not opened under a seal of which any letter is another', async () => {
    const sealed = await seal('a', 'p', false)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.seal.length - 1), fc.constantFrom(...'Aw-_1237.,=m'), async (at, letter) => {
        const changed = sealed.seal.slice(0, at) + letter + sealed.seal.slice(at + 1)
        fc.pre(changed !== sealed.seal)
        const opening = unlock('p', changed).then(({ open }) => open(sealed.text, false))
        expect(['seal', 'parameters', 'tampered']).toContain((await reason(opening)) ?? 'opened')
      }),
      { numRuns: 60 },
    )
  })

  test('is not opened under the cost of another seal that is allowed', async () => {
    const sealed = await seal('a', 'p', false)
    for (const cost of ['m=65537,t=3', 'm=65536,t=4']) {
      const { open } = await unlock('p', sealed.seal.replace('m=65536,t=3', cost))
      expect(await reason(open(sealed.text, false))).toBe('tampered')
    }
  })
})

describe('without computing anything', () => {
  const SALT = 'A'.repeat(22)

  test('a seal that makes guessing cheap, or a page hang, is refused', async () => {
    const worker = spyOn(globalThis, 'Worker')
    for (const cost of [
      'm=65535,t=3,p=1',
      'm=8,t=3,p=1',
      'm=65536,t=2,p=1',
      'm=65536,t=1,p=1',
      'm=262144,t=2,p=1',
      'm=262145,t=3,p=1',
      'm=4194304,t=3,p=1',
      'm=9999999999,t=3,p=1',
      'm=65536,t=17,p=1',
      'm=262144,t=5,p=1',
      'm=65536,t=9999999999,p=1',
      'm=65536,t=3,p=2',
      'm=65536,t=3,p=9999999999',
    ]) {
      expect([cost, await reason(unlock('p', `1.argon2id.${cost}.${SALT}`))]).toEqual([cost, 'parameters'])
    }
    expect(worker).not.toHaveBeenCalled()
  })

  test('what is no seal is refused', async () => {
    const worker = spyOn(globalThis, 'Worker')
    const known = `1.argon2id.m=65536,t=3,p=1.${SALT}`
    for (const seal of [
      '',
      known.replace('1.', '2.'),
      known.replace('argon2id', 'argon2i'),
      known.replace('argon2id', 'ARGON2ID'),
      known.replace('m=65536,t=3', 't=3,m=65536'),
      known.replace('m=65536', 'm=065536'),
      known.replace('m=65536', 'm=65536.0'),
      known.replace('m=65536', 'm=-65536'),
      known.replace('m=65536', 'm=1e5'),
      known.replace('m=65536', 'm=99999999999999999999'),
      known.replace('t=3', 't=0'),
      known.replace('p=1', 'p=0'),
      known.replace('p=1', 'p=1,x=1'),
      known.slice(0, -1),
      `${known}A`,
      `${known}=`,
      `${known}\n`,
      ` ${known}`,
      `${known}.more`,
      `${known.slice(0, -1)}B`,
      `${known.slice(0, -1)}+`,
      known.replaceAll('.', '$'),
      known.repeat(50_000),
    ]) {
      expect([seal.slice(0, 80), await reason(unlock('p', seal))]).toEqual([seal.slice(0, 80), 'seal'])
    }
    expect(worker).not.toHaveBeenCalled()
  })

  test('a password that the server would refuse is refused here', async () => {
    for (const password of ['', 'x'.repeat(257), '가'.repeat(86), 'a\ud800', '\udc00']) {
      expect(await reason(seal('a', password, false))).toBe('password')
      expect(await reason(unlock(password, `1.argon2id.m=65536,t=3,p=1.${SALT}`))).toBe('password')
    }
  })

  test('a text that is empty, not well-formed or larger than any server takes is refused', async () => {
    for (const text of ['', 'a\ud800', '\udc00a', 'x'.repeat(67_108_865)]) {
      expect(await reason(seal(text, 'p', false))).toBe('text')
    }
  })
})

test('a worker that does not load, or that has too little memory, is an error that says so', async () => {
  const failing = URL.createObjectURL(new Blob(['self.onmessage = () => self.postMessage(undefined)']))
  for (const script of [new URL('./nothing.ts', import.meta.url), failing]) {
    using _ = replaced(
      'Worker',
      class extends Worker {
        constructor() {
          super(script)
        }
      },
    )
    expect(await reason(seal('a', 'p', false))).toBe('unavailable')
  }
  URL.revokeObjectURL(failing)
})

/** Puts `value` in the place of what `name` means everywhere, until it goes out of scope. */
function replaced(name: 'Worker' | 'crypto', value: unknown): Disposable {
  const before = Object.getOwnPropertyDescriptor(globalThis, name) ?? {}
  Object.defineProperty(globalThis, name, { value, configurable: true })
  return { [Symbol.dispose]: () => void Object.defineProperty(globalThis, name, before) }
}

test('base64url is turned into the same bytes again, and is one text for the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = toBase64url(bytes)
      expect(text).toBe(Buffer.from(bytes).toString('base64url'))
      expect(fromBase64url(text)).toEqual(new Uint8Array(bytes))
    }),
  )
  for (const text of ['A', 'AB', 'AAB', 'AAAAA', 'AA==', 'AA AA', 'A+/A', 'AAA\n']) {
    expect(() => fromBase64url(text)).toThrow()
  }
})

describe('a suggested password', () => {
  test('is eight of 27 syllables, each as likely as the others: 38 bits', () => {
    const drawn = new Map<string, number>()
    let byte = 0
    spyOn(crypto, 'getRandomValues').mockImplementation(((bytes: Uint8Array) => bytes.fill(byte++ % 256)) as never)
    // 243 of the 256 bytes say a syllable, so this draws every one of them eight times.
    for (let i = 0; i < 243; i++) {
      const password = suggestPassword()
      expect(password).toMatch(/^([kmnpsthyw][aiou]){8}$/)
      for (const syllable of password.match(/../g) ?? []) drawn.set(syllable, (drawn.get(syllable) ?? 0) + 1)
    }
    expect(drawn.size).toBe(27)
    expect(new Set(drawn.values())).toEqual(new Set([72]))
    expect(8 * Math.log2(drawn.size)).toBeGreaterThan(38)
  })

  test('is another each time', () => {
    expect(new Set(Array.from({ length: 1000 }, suggestPassword)).size).toBe(1000)
  })
})
