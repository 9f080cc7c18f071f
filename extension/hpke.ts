/**
 * Sealing without a password: a text is encrypted to the key of whoever waits for it, so that the server carries what it
 * cannot read. HPKE (RFC 9180), base mode. SEAL.md has the bytes.
 */
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { fromBase64url, toBase64url } from './base64url.ts'
import { pack, SealError, unpack, utf8 } from './pack.ts'
import { SYLLABLES } from './suggest.ts'

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() })

const INFO = utf8('extextcloud receive')

const SEAL = /^1\.hpke\.([\w-]{43})$/

/** Rounds that make each guess at a key with the same words dear: a fraction of a second for us. */
const WORD_ROUNDS = 600_000
/** Syllables of each of the two words: 28.5 bits in all. */
const WORD_SYLLABLES = 3

export interface Receiver {
  /** 32 bytes in base64url. */
  publicKey: string
  /** Its private key can be used in this browser, and read nowhere. */
  keys: CryptoKeyPair
}

/** Keys to wait with. Throws where the browser knows no X25519. */
export async function newReceiver(): Promise<Receiver> {
  const keys = (await crypto.subtle.generateKey({ name: 'X25519' }, false, ['deriveBits'])) as CryptoKeyPair
  return { publicKey: toBase64url(new Uint8Array(await crypto.subtle.exportKey('raw', keys.publicKey))), keys }
}

/** Encrypts a text to whoever waits under `code`. Throws a `SealError`, and whatever the browser throws that knows no X25519. */
export async function sealTo(publicKey: string, code: string, text: string): Promise<{ text: string; seal: string }> {
  const packed = await pack(text)
  const recipientPublicKey = await suite.kem.deserializePublicKey(fromBase64url(publicKey).buffer)
  const sender = await suite.createSenderContext({ recipientPublicKey, info: INFO })
  const seal = `1.hpke.${toBase64url(new Uint8Array(sender.enc))}`
  return { text: toBase64url(new Uint8Array(await sender.seal(packed, bound(seal, code)))), seal }
}

/** The text that was sealed to us. Throws a `SealError`. */
export async function openReceived(keys: CryptoKeyPair, code: string, text: string, seal: string): Promise<string> {
  const [, enc] = SEAL.exec(seal) ?? []
  if (!enc) throw new SealError('seal')
  let packed: ArrayBuffer
  try {
    const recipient = await suite.createRecipientContext({
      recipientKey: keys,
      enc: fromBase64url(enc).buffer,
      info: INFO,
    })
    packed = await recipient.open(fromBase64url(text), bound(seal, code))
  } catch {
    throw new SealError('tampered')
  }
  return unpack(new Uint8Array(packed))
}

const bound = (seal: string, code: string) => utf8(`${seal}.${code}`)

/**
 * Two words that can be said aloud, made from a key and the code under which it waits: whoever compares them finds out
 * whether a server gave its own key to the other side. It has ten minutes to find one with the same words.
 */
export async function wordsOf(publicKey: string, code: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', fromBase64url(publicKey), 'PBKDF2', false, ['deriveBits'])
  const salt = utf8(`extextcloud words ${code}`)
  const bits = await crypto.subtle.deriveBits(
    { name: 'PBKDF2', hash: 'SHA-256', salt, iterations: WORD_ROUNDS },
    key,
    2 * WORD_SYLLABLES * 16,
  )
  const numbers = new DataView(bits)
  const syllables = Array.from(
    { length: 2 * WORD_SYLLABLES },
    (_, place) => SYLLABLES[numbers.getUint16(2 * place) % SYLLABLES.length],
  )
  return `${syllables.slice(0, WORD_SYLLABLES).join('')} ${syllables.slice(WORD_SYLLABLES).join('')}`
}
