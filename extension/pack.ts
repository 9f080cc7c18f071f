/** What is encrypted of a text, by a password or to a receiver: its bytes, compressed and padded. SEAL.md has them. */

/** The largest text that any server can be set to take: a few bytes can claim to be the compressed form of gigabytes. */
const MAX_TEXT_BYTES = 67_108_864

/** What is inflated at once: at most some 4 MB come of it. */
const PIECE_BYTES = 4096

/** How the text is kept (0 as it is, 1 deflate-raw), and its length in four bytes. */
const HEAD_BYTES = 5

export type Bytes = Uint8Array<ArrayBuffer>

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

/** The text as it is encrypted: compressed where that helps, and padded so that its length tells little. */
export async function pack(text: string): Promise<Bytes> {
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

/** The text that was packed. Throws a `SealError`. */
export async function unpack(packed: Bytes): Promise<string> {
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

export const utf8 = (text: string) => new TextEncoder().encode(text)
