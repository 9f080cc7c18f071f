/**
 * Sealing: what a password protects is encrypted here, so that the server keeps what it cannot read. SEAL.md has the
 * bytes. No other file knows the cryptography.
 */
import { argon2id } from 'hash-wasm'
import { fromBase64url, toBase64url } from './base64url.ts'

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

/** The largest text that any server can be set to take: a few bytes can claim to be the compressed form of gigabytes. */
const MAX_TEXT_BYTES = 67_108_864

const SALT_BYTES = 16
const IV_BYTES = 12

/** What is inflated at once: at most some 4 MB come of it. */
const PIECE_BYTES = 4096

/** How the text is kept (0 as it is, 1 deflate-raw), and its length in four bytes. */
const HEAD_BYTES = 5

const SEAL = /^1\.argon2id\.m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})\.([\w-]{22})$/

type Bytes = Uint8Array<ArrayBuffer>

export type SealReason =
  /** The password is not 1 to 256 bytes of well-formed Unicode. */
  | 'password'
  /** The text is empty, not well-formed Unicode, or larger than any server takes. */
  | 'text'
  /** The seal is none, or of a later version. */
  | 'seal'
  /** The seal asks for a hash that is too cheap to guard a password, or too dear for a browser. */
  | 'parameters'
  /** The text is not what was sealed with this password and this seal, to be read once or as often as one likes. */
  | 'tampered'
  /** Who knew the password has sealed something that is no text, or too large. */
  | 'content'
  /** This browser could not compute the hash: the worker did not load, or there is too little memory. */
  | 'unavailable'

/** Why a text could not be sealed or opened. */
export class SealError extends Error {
  override name = 'SealError'

  constructor(readonly reason: SealReason) {
    super(reason)
  }
}

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
  const seal = `1.argon2id.m=${MEMORY_KIB},t=${PASSES},p=1.${toBase64url(randomBytes(SALT_BYTES))}`
  const { auth, key } = await derive(password, seal)
  const iv = randomBytes(IV_BYTES)
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

// ------------------------------------------------------------------------------------------------- Compression

/** The text as it is encrypted: compressed where that helps, and padded so that its length tells little. */
async function pack(text: string): Promise<Bytes> {
  const plain = utf8(text)
  if (plain.length === 0 || plain.length > MAX_TEXT_BYTES || !text.isWellFormed()) throw new SealError('text')
  const deflated = await bytesOf(new Blob([plain]).stream().pipeThrough(new CompressionStream('deflate-raw')))
  const isShorter = padme(HEAD_BYTES + deflated.length) < padme(HEAD_BYTES + plain.length)
  const content = isShorter ? deflated : plain
  const packed = new Uint8Array(padme(HEAD_BYTES + content.length))
  packed[0] = Number(isShorter)
  new DataView(packed.buffer).setUint32(1, content.length)
  packed.set(content, HEAD_BYTES)
  return packed
}

async function unpack(packed: Bytes): Promise<string> {
  try {
    const end = HEAD_BYTES + new DataView(packed.buffer).getUint32(1)
    const content = packed.subarray(HEAD_BYTES, end)
    if (end > packed.length || (packed[0] !== 0 && packed[0] !== 1)) throw new RangeError()
    const plain = packed[0] === 1 ? await inflate(content) : content
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plain)
  } catch {
    throw new SealError('content')
  }
}

/** Piece by piece, since a browser inflates a whole one, up to a thousandfold, before anybody can stop it. */
function inflate(deflated: Bytes): Promise<Bytes> {
  let at = 0
  const pieces = new ReadableStream<Bytes>({
    pull(controller) {
      if (at < deflated.length) controller.enqueue(deflated.subarray(at, at + PIECE_BYTES))
      else controller.close()
      at += PIECE_BYTES
    },
  })
  return bytesOf(pieces.pipeThrough(new DecompressionStream('deflate-raw')))
}

/** All that comes out of `stream`. Throws as soon as that is more than a text may have. */
async function bytesOf(stream: ReadableStream<Bytes>): Promise<Bytes> {
  const reader = stream.getReader()
  const chunks: Bytes[] = []
  let room = MAX_TEXT_BYTES
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer())
    room -= value.length
    if (room < 0) {
      await reader.cancel()
      throw new RangeError()
    }
    chunks.push(value)
  }
}

/** The padded length (Padmé: at most 12 % more), of which there are few. */
function padme(length: number): number {
  const exponent = 31 - Math.clz32(length)
  const step = 2 ** (exponent - (32 - Math.clz32(exponent)))
  return Math.ceil(length / step) * step
}

const utf8 = (text: string) => new TextEncoder().encode(text)
const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length))
