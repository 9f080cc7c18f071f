/** Sealing without a password: the format, against another implementation, and all that may not be opened. */
import { expect, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { fromBase64url, toBase64url } from '../extension/base64url.ts'
import { newReceiver, openReceived, sealTo, wordsOf } from '../extension/hpke.ts'
import type { SealError } from '../extension/pack.ts'
import vectors from './fixtures/hpke-vectors.json' with { type: 'json' }
import * as other from './fixtures/hpke-vectors.ts'

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 3000 })
const code = fc.stringMatching(/^[A-Za-z]{4}$/)

const bytes = (base64url: string) => Buffer.from(base64url, 'base64url')

async function keysOf({ privateKey, publicKey }: { privateKey: string; publicKey: string }): Promise<CryptoKeyPair> {
  const jwk = { kty: 'OKP', crv: 'X25519', x: publicKey }
  return {
    privateKey: await crypto.subtle.importKey('jwk', { ...jwk, d: privateKey }, 'X25519', false, ['deriveBits']),
    publicKey: await crypto.subtle.importKey('jwk', jwk, 'X25519', true, []),
  }
}

/** Why it could not be opened. */
const reason = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: SealError) => error.reason,
  )

test.each(vectors)(
  'what another implementation has sealed is opened ($name), and its words are ours',
  async (vector) => {
    expect(await openReceived(await keysOf(vector), vector.code, vector.text, vector.seal)).toBe(vector.opens)
    expect(await wordsOf(vector.publicKey, vector.code)).toBe(vector.words)
  },
)

test('what we seal is opened by another implementation', async () => {
  await fc.assert(
    fc.asyncProperty(text, code, async (text, code) => {
      const { publicKey, privateKey } = generateKeyPairSync('x25519')
      const sealed = await sealTo(publicKey.export({ format: 'jwk' }).x ?? '', code, text)
      expect(other.open(privateKey, code, sealed)).toBe(text)
    }),
    { numRuns: 20 },
  )
})

test('a receiver opens any text that was sealed to it, and its private key is read nowhere', async () => {
  await fc.assert(
    fc.asyncProperty(text, code, async (text, code) => {
      const { publicKey, keys } = await newReceiver()
      expect(publicKey).toMatch(/^[\w-]{43}$/)
      expect(keys.privateKey.extractable).toBe(false)
      const sealed = await sealTo(publicKey, code, text)
      expect(sealed.seal).toMatch(/^1\.hpke\.[\w-]{43}$/)
      expect(await openReceived(keys, code, sealed.text, sealed.seal)).toBe(text)
    }),
    { numRuns: 20 },
  )
})

test('the same text is never sealed the same way, and its length tells little', async () => {
  const { publicKey } = await newReceiver()
  const sealed = await Promise.all(['one', 'two', 'four'].map((text) => sealTo(publicKey, 'aBcD', text)))
  const again = await sealTo(publicKey, 'aBcD', 'one')
  expect(new Set([...sealed, again].map(({ text }) => text)).size).toBe(4)
  expect(new Set(sealed.slice(0, 2).map(({ text }) => text.length)).size).toBe(1)
})

test('under another code, another seal, another key, or changed by a bit, it is not opened', async () => {
  const { publicKey, keys } = await newReceiver()
  const [sealed, second] = [await sealTo(publicKey, 'aBcD', 'a text'), await sealTo(publicKey, 'aBcD', 'a text')]
  const open = (text: string, seal: string, code = 'aBcD', by = keys) => reason(openReceived(by, code, text, seal))
  expect(await open(sealed.text, sealed.seal)).toBeUndefined()
  expect(await open(sealed.text, sealed.seal, 'aBcd')).toBe('tampered')
  expect(await open(sealed.text, second.seal)).toBe('tampered')
  expect(await open(sealed.text, sealed.seal, 'aBcD', (await newReceiver()).keys)).toBe('tampered')
  const changed = fromBase64url(sealed.text)
  for (const place of changed.keys()) {
    const other = changed.slice()
    other[place] = (other[place] ?? 0) ^ 1
    expect(await open(toBase64url(other), sealed.seal)).toBe('tampered')
  }
  expect(await open('', sealed.seal)).toBe('tampered')
  expect(await open('%', sealed.seal)).toBe('tampered')
  for (const seal of ['', '1.hpke.', `2${sealed.seal.slice(1)}`, `${sealed.seal}A`, '1.argon2id.m=65536,t=3,p=1.'])
    expect(await open(sealed.text, seal)).toBe('seal')
  // A point of small order: everybody knows what comes of it.
  expect(await open(sealed.text, `1.hpke.${toBase64url(new Uint8Array(32))}`)).toBe('tampered')
})

test('to a key that everybody could open nothing is sealed', async () => {
  await expect(sealTo(toBase64url(new Uint8Array(32)), 'aBcD', 'a text')).rejects.toThrow()
  await expect(sealTo('short', 'aBcD', 'a text')).rejects.toThrow()
})

test('what was sealed and is no text is not shown', async () => {
  const { publicKey, keys } = await newReceiver()
  const { privateKey } = generateKeyPairSync('x25519')
  const sealed = (content: Buffer) => other.sealTo(bytes(publicKey), 'aBcD', content, privateKey)
  for (const content of [Buffer.alloc(3), Buffer.from([2, 0, 0, 0, 1, 65]), Buffer.from([0, 0, 0, 0, 9, 65])]) {
    const { text, seal } = sealed(content)
    expect(await reason(openReceived(keys, 'aBcD', text, seal))).toBe('content')
  }
})

test('two words are of two keys or codes almost never the same, and the same on both sides', async () => {
  const keys = await Promise.all(Array.from({ length: 4 }, newReceiver))
  const words = await Promise.all(keys.map(({ publicKey }) => wordsOf(publicKey, 'aBcD')))
  for (const said of words) expect(said).toMatch(/^([a-z]{2}){3} ([a-z]{2}){3}$/)
  expect(new Set([...words, await wordsOf(keys[0]?.publicKey ?? '', 'aBcd')]).size).toBe(5)
  expect(await wordsOf(keys[0]?.publicKey ?? '', 'aBcD')).toBe(String(words[0]))
})
