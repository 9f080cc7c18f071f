/** How a request is read where Elysia's own parsers would lose bytes, read without bound, or answer unclearly. */
import { duration, invalid, Refusal, tooLarge } from './errors.ts'

/** Refuses bytes that are not UTF-8, and keeps a byte order mark as the text's own. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bytes of bodies that may be held at a time while the rest of them arrives: what slow senders can take of the memory. */
const MAX_HELD_BYTES = 128 * 1024 * 1024

/**
 * Bytes of a body that is read however much is held, so that a flood of large ones stops no load and no short text. One
 * that says that it is no larger is awaited as a whole: reading it as a stream costs more than all the rest of a load.
 */
const SMALL_BODY_BYTES = 16_384

let heldBytes = 0

/** The body, of at most `maxBytes`. Throws the refusal `text_too_large` as soon as that is known, and `busy`. */
async function readBody(request: Request, maxBytes: number, maxTextBytes: number): Promise<Uint8Array> {
  const length = request.headers.get('content-length')
  if (Number(length) > maxBytes) throw tooLarge(maxTextBytes)
  // Bun refuses a request whose body could be longer than it says. `bytes()` would take a tenth of a load more.
  if (length !== null && Number(length) <= SMALL_BODY_BYTES) return new Uint8Array(await request.arrayBuffer())
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.byteLength
      heldBytes += chunk.byteLength
      if (size > maxBytes) throw tooLarge(maxTextBytes)
      if (heldBytes > MAX_HELD_BYTES && size > SMALL_BODY_BYTES) throw new Refusal('busy', { retryAfter: 5 })
      chunks.push(chunk)
    }
  } finally {
    heldBytes -= size
  }
  return Buffer.concat(chunks)
}

/** Fields that a JSON body may have: more than any route knows, and few enough to be named in an answer. */
const MAX_FIELDS = 16

/**
 * The fields of the JSON body. A value that is an object or array itself comes as null, since no field is one, and a
 * validator that meets it nested a million deep dies of it.
 * Throws the refusals `unsupported_media_type`, `text_too_large`, `malformed`, `invalid` and `busy`.
 */
export async function readJson(request: Request, maxTextBytes: number): Promise<Record<string, unknown>> {
  const mediaType = request.headers.get('content-type')
  if (mediaType !== 'application/json' && mediaType?.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    throw new Refusal('unsupported_media_type')
  }
  // A byte of text takes up to six in JSON (\u0000), and the other fields need a little room.
  const body = await readBody(request, 6 * maxTextBytes + 16_384, maxTextBytes)
  let parsed: unknown
  try {
    parsed = JSON.parse(utf8.decode(body))
  } catch {
    throw new Refusal('malformed')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalid('body', 'Must be a JSON object.')
  }
  const fields: Record<string, unknown> = { ...parsed }
  const names = Object.keys(fields)
  if (names.length > MAX_FIELDS) throw invalid('body', `Must not have more than ${MAX_FIELDS} fields.`)
  for (const name of names) if (typeof fields[name] === 'object') fields[name] = null
  return fields
}

/**
 * The body as text, whatever its media type says (curl claims a form), unless it is wrapped in a multipart form.
 * Throws the refusals `unsupported_media_type`, `text_too_large`, `invalid` and `busy`.
 */
export async function readText(request: Request, maxTextBytes: number): Promise<string> {
  if (/^multipart\//i.test(request.headers.get('content-type') ?? '')) {
    throw new Refusal('unsupported_media_type', {
      message: 'Send the text itself, not a form: curl --data-binary @FILE …',
    })
  }
  const body = await readBody(request, maxTextBytes, maxTextBytes)
  try {
    return utf8.decode(body)
  } catch {
    throw invalid('text', 'This is not a text: it is not UTF-8.')
  }
}

/** The password of an `Authorization: Basic` header, whatever its user; undefined without the header. */
export function basicPassword(request: Request): string | undefined {
  const header = request.headers.get('authorization')
  if (header === null) return undefined
  try {
    const [, credentials] = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(header) ?? []
    const [, password] = /^[^:]*:(.+)$/su.exec(utf8.decode(Buffer.from(credentials ?? '', 'base64'))) ?? []
    if (password !== undefined) return password
  } catch {
    // Not UTF-8: refused like everything else that is no password.
  }
  throw invalid('password', 'Must come as HTTP Basic with an empty user: curl -u :PASSWORD …')
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 }

/** Whole seconds, 60 to `max`, of `90`, `90s`, `10m`, `1h` or `7d`. Throws the refusal `invalid`. */
export function parseDuration(given: string, max: number): number {
  const [, count, unit = 's'] = /^(\d+)([smhd])?$/.exec(given) ?? []
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS]
  if (seconds >= 60 && seconds <= max) return seconds
  throw invalid('expires', `Must be like 90, 10m, 1h or 7d: from 60 seconds to ${duration(max)}.`)
}
