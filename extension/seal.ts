/**
 * Sealing by a password: what it protects is encrypted here, so that the server keeps what it cannot read. SEAL.md has
 * the bytes.
 */
import { argon2id } from 'hash-wasm'
import { fromBase64url, toBase64url } from './base64url.ts'
import { type Bytes, pack, SealError, unpack, utf8 } from './pack.ts'

/** Which build this is: `build.ts` writes it here. */
declare const BROWSER: 'chromium' | 'firefox' | 'page'

/** What a text is sealed with, and the least that a reader accepts: a server that names less wants to guess the password. */
const MEMORY_KIB = 65_536
const PASSES = 3

/** The most that a reader accepts. Beyond it a phone ends the page. */
const MAX_MEMORY_KIB = 262_144

/** The most work that a reader accepts, memory times passes: about five times as long as our own parameters take. */
const MAX_WORK_KIB = 1_048_576

/** As the server has it. */
const MAX_PASSWORD_BYTES = 256

const SALT_BYTES = 16
const IV_BYTES = 12

const SEAL = /^1\.argon2id\.m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})\.([\w-]{22})$/

export interface Sealed {
  /** Base64url of IV, ciphertext and tag. */
  text: string
  /** The scheme, its parameters and the salt. */
  seal: string
  /** What the server gets in the place of the password. */
  auth: string
}

export interface Unlocked {
  auth: string
  /** The text that was sealed. Throws a `SealError`. */
  open(text: string, once: boolean): Promise<string>
}

/** Encrypts a text. Throws a `SealError`. */
export async function seal(text: string, password: string, once: boolean): Promise<Sealed> {
  const packed = await pack(text)
  const seal = `1.argon2id.m=${MEMORY_KIB},t=${PASSES},p=1.${toBase64url(crypto.getRandomValues(new Uint8Array(SALT_BYTES)))}`
  const { auth, key } = await derive(password, seal)
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const encrypted = await crypto.subtle.encrypt(cipher(iv, seal, once), key, packed)
  return { text: toBase64url(new Uint8Array(await new Blob([iv, encrypted]).arrayBuffer())), seal, auth }
}

/** Derives from a password what a sealed text is asked for and opened with. Throws a `SealError`. */
export async function unlock(password: string, seal: string): Promise<Unlocked> {
  const { auth, key } = await derive(password, seal)
  return {
    auth,
    async open(text, once) {
      return unpack(await decrypt(text, key, seal, once))
    },
  }
}

async function decrypt(text: string, key: CryptoKey, seal: string, once: boolean): Promise<Bytes> {
  try {
    const bytes = fromBase64url(text)
    const algorithm = cipher(bytes.subarray(0, IV_BYTES), seal, once)
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, bytes.subarray(IV_BYTES)))
  } catch {
    throw new SealError('tampered')
  }
}

const cipher = (iv: Bytes, seal: string, once: boolean) => ({
  name: 'AES-GCM',
  iv,
  additionalData: utf8(`${seal}.${once ? 'once' : 'many'}`),
})

// ------------------------------------------------------------------------------------------------------- Keys

async function derive(password: string, seal: string): Promise<{ auth: string; key: CryptoKey }> {
  const size = utf8(password).length
  if (size === 0 || size > MAX_PASSWORD_BYTES || !password.isWellFormed()) throw new SealError('password')
  const parameters = parametersOf(seal)
  const hash = await argon2({ ...parameters, password: utf8(password.normalize('NFC')) }).catch(() => {
    throw new SealError('unavailable')
  })
  const { subtle } = crypto
  const master = await subtle.importKey('raw', hash, 'HKDF', false, ['deriveBits', 'deriveKey'])
  hash.fill(0)
  const hkdf = (info: string) => ({ name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: utf8(info) })
  const [auth, key] = await Promise.all([
    subtle.deriveBits(hkdf('extextcloud auth'), master, 256),
    subtle.deriveKey(hkdf('extextcloud key'), master, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']),
  ])
  return { auth: toBase64url(new Uint8Array(auth)), key }
}

function parametersOf(seal: string) {
  const [, memory, passes, lanes, saltText = ''] = SEAL.exec(seal) ?? []
  let salt: Uint8Array
  try {
    salt = fromBase64url(saltText)
  } catch {
    throw new SealError('seal')
  }
  if (salt.length !== SALT_BYTES) throw new SealError('seal')
  const memorySize = Number(memory)
  const iterations = Number(passes)
  const parallelism = Number(lanes)
  if (
    memorySize < MEMORY_KIB ||
    memorySize > MAX_MEMORY_KIB ||
    iterations < PASSES ||
    memorySize * iterations > MAX_WORK_KIB ||
    parallelism !== 1
  ) {
    throw new SealError('parameters')
  }
  return { memorySize, iterations, parallelism, salt, hashLength: 32, outputType: 'binary' as const }
}

type Argon2 = ReturnType<typeof parametersOf> & { password: Uint8Array }

async function argon2(options: Argon2): Promise<Bytes> {
  // Chromium's background is a service worker: it has no workers, and no page to stall.
  if (typeof Worker === 'undefined' && BROWSER === 'chromium') return new Uint8Array(await argon2id(options))
  const worker = new Worker(new URL('./argon2.js', import.meta.url), { type: 'module' })
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data ? resolve(data) : reject())
      worker.onerror = reject
      worker.postMessage(options)
    })
  } finally {
    // With it go its memory, and the password in there.
    worker.terminate()
  }
}
