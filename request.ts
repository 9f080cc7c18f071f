/** How a request is read where Elysia's own parsers would lose bytes, read without bound, or answer unclearly. */
import { duration, invalid, Refusal } from './errors.ts'

/** Said, though it is Bun's own word for a string: an answer to HEAD has none. */
export const PLAIN_TEXT = 'text/plain;charset=utf-8'

/** Whether a person's browser asks, which had better be shown the page. */
export const wantsPage = ({ headers, method }: Request) =>
  method !== 'POST' && headers.get('accept')?.includes('text/html') === true

/** Refuses bytes that are not UTF-8, and keeps a byte order mark as the text's own. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Bytes of bodies that may be held at a time while the rest of them arrives: what slow senders can take of the memory.
 * And of one client's, so that it takes eight to keep others out.
 */
const MAX_HELD_BYTES = 128 * 1024 * 1024
const MAX_HELD_BYTES_OF_CLIENT = MAX_HELD_BYTES / 8

/** How long a body may be under way: half a minute, and what its bytes take on a slow line. */
const BODY_PATIENCE = 30_000
const SLOWEST_BYTES_PER_MILLISECOND = 16

/**
 * Bytes of a body that is read however much is held, so that a flood of large ones stops no load and no short text. One
 * that says that it is no larger is awaited as a whole: reading it as a stream costs more than all the rest of a load.
 */
export const SMALL_BODY_BYTES = 16_384

/** Bytes of a body from which on making something of it takes tens of milliseconds, and it counts as more than one request. */
const LARGE_BODY_BYTES = 1024 * 1024

let lastTurn = Promise.resolve()

/** Does `work` when all that was to be done in turn is done; afterwards others are served, for as long as it took. */
async function inTurn<Made>(work: () => Made): Promise<Made> {
  const before = lastTurn
  const { promise, resolve } = Promise.withResolvers<void>()
  lastTurn = promise
  await before
  const started = performance.now()
  try {
    return work()
  } finally {
    setTimeout(resolve, performance.now() - started)
  }
}

let heldBytes = 0
const heldOf = new Map<string, number>()

function hold(client: string, bytes: number) {
  heldBytes += bytes
  const held = (heldOf.get(client) ?? 0) + bytes
  if (held > 0) heldOf.set(client, held)
  else heldOf.delete(client)
  return held
}

/** Who sends a body, and how much of one. */
export interface Sender {
  client: string
  /** The most bytes that the body may have. */
  maxBytes: number
  /** The refusal of a larger one. */
  tooLarge: () => Refusal
  /** Counts a request of the client, and throws the refusal of one too many: a large body counts as several. */
  admit: (client: string) => void
  /** The refusal of a body of more than `SMALL_BODY_BYTES`, of which these are the first. */
  refuseBy?: (start: Buffer) => Refusal | false
}

/** What `make` makes of the body. Throws the refusal of one that is too large as soon as that is known, and `busy`. */
async function readBody<Made>(
  request: Request,
  { client, maxBytes, tooLarge, admit, refuseBy }: Sender,
  make: (body: Uint8Array) => Made,
): Promise<Made> {
  const length = request.headers.get('content-length')
  if (Number(length) > maxBytes) throw tooLarge()
  // Bun refuses a request whose body could be longer than it says. `bytes()` would take a tenth of a load more.
  if (length !== null && Number(length) <= SMALL_BODY_BYTES) return make(new Uint8Array(await request.arrayBuffer()))
  const chunks: Uint8Array[] = []
  const reader = request.body?.getReader()
  const ends = performance.now() + BODY_PATIENCE
  let size = 0
  const part = Math.max(LARGE_BODY_BYTES, maxBytes / 6)
  let admitted = part // As a request like any other.
  const timer = setInterval(() => {
    if (performance.now() > ends + size / SLOWEST_BYTES_PER_MILLISECOND) void reader?.cancel().catch(() => {})
  }, 1000)
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined }
      if (performance.now() > ends + size / SLOWEST_BYTES_PER_MILLISECOND)
        throw new Refusal('busy', { retryAfter: 5, message: 'The text came too slowly.' })
      if (done) break
      size += value.byteLength
      const held = hold(client, value.byteLength)
      if (size > maxBytes) throw tooLarge()
      for (; admitted < size; admitted += part) admit(client)
      // Never less than one body may have: it would be told to try again for ever.
      const isFull =
        heldBytes > Math.max(MAX_HELD_BYTES, maxBytes) || held > Math.max(MAX_HELD_BYTES_OF_CLIENT, maxBytes)
      if (isFull && size > SMALL_BODY_BYTES) throw new Refusal('busy', { retryAfter: 5 })
      chunks.push(value)
      if (refuseBy && size > SMALL_BODY_BYTES) {
        const refusal = refuseBy(Buffer.concat(chunks).subarray(0, SMALL_BODY_BYTES))
        if (refusal) throw refusal
        refuseBy = undefined
      }
    }
    const body = Buffer.concat(chunks)
    return size > LARGE_BODY_BYTES ? await inTurn(() => make(body)) : make(body)
  } finally {
    clearInterval(timer)
    hold(client, -size)
    void reader?.cancel().catch(() => {})
  }
}

/** Fields that a JSON body may have: more than any route knows, and few enough to be named in an answer. */
const MAX_FIELDS = 16

/** Bytes of a JSON body that may stand outside its strings: as much as a small body could be made of. */
const MAX_BARE_BYTES = SMALL_BODY_BYTES

/**
 * Whether a JSON body has no more in it than fields can: what parsing costs depends on how many values there are, and a
 * million empty objects cost seconds and gigabytes. Looks at bytes alone, from string to string.
 */
function isFlat(body: Uint8Array): boolean {
  let bare = 0
  for (let at = 0, strings = 0; ; strings++) {
    const opening = body.indexOf(QUOTE, at)
    bare += (opening < 0 ? body.length : opening) - at
    if (bare > MAX_BARE_BYTES || strings > 4 * MAX_FIELDS) return false
    if (opening < 0) return true
    at = endOfString(body, opening)
    if (at < 0) return true // The parser refuses a string without an end.
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** The place behind the string that begins at `opening`; -1 where it does not end. */
function endOfString(body: Uint8Array, opening: number): number {
  let at = body.indexOf(QUOTE, opening + 1)
  if (at < 0 || body[at - 1] !== BACKSLASH) return at < 0 ? -1 : at + 1
  // Byte by byte, since a search for each of a million escaped quotes would take ten times as long.
  for (at = opening + 1; at < body.length; at++) {
    const byte = body[at]
    if (byte === BACKSLASH) at++
    else if (byte === QUOTE) return at + 1
  }
  return -1
}

/** In front of JSON it may be ignored (RFC 8259, 8.1). */
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]

/**
 * The fields of the JSON body. A value that is an object or array itself comes as null, since no field is one, and a
 * validator that meets it nested a million deep dies of it.
 * Throws the refusals `unsupported_media_type`, `text_too_large`, `malformed`, `invalid` and `busy`.
 */
export async function readJson(request: Request, sender: Sender): Promise<Record<string, unknown>> {
  const mediaType = request.headers.get('content-type')
  if (mediaType !== 'application/json' && mediaType?.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    throw new Refusal('unsupported_media_type')
  }
  return readBody(request, sender, parseFields)
}

function parseFields(bytes: Uint8Array): Record<string, unknown> {
  const body = BYTE_ORDER_MARK.every((byte, at) => byte === bytes[at]) ? bytes.subarray(3) : bytes
  if (body.length > SMALL_BODY_BYTES && !isFlat(body)) {
    const [first] = body.subarray(body.findIndex((byte) => byte > 0x20))
    if (first !== 0x7b && first !== 0x5b) throw new Refusal('malformed') // Neither { nor [.
    throw invalid('body', `Must be an object of at most ${MAX_FIELDS} fields, none of them an object or array.`)
  }
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
export async function readText(request: Request, sender: Sender): Promise<string> {
  if (/^multipart\//i.test(request.headers.get('content-type') ?? '')) {
    throw new Refusal('unsupported_media_type', {
      message: 'Send the text itself, not a form: curl --data-binary @FILE …',
    })
  }
  return readBody(request, sender, (body) => {
    try {
      return utf8.decode(body)
    } catch {
      throw invalid('text', 'This is not a text: it is not UTF-8.')
    }
  })
}

interface Credentials {
  hasUser: boolean
  password: Uint8Array
}

/** What a request brings as HTTP Basic; other schemes are none of ours. Several come where a proxy in front adds its own. */
const credentialsOf = ({ headers }: Request): Credentials[] =>
  (headers.get('authorization')?.split(',') ?? []).flatMap((header) => {
    const basic = /^basic(?!\S)(?:\s+([\w+/-]+=*)$)?/i.exec(header.trim())
    if (!basic) return []
    const bytes = Buffer.from(basic[1] ?? '', 'base64')
    const colon = bytes.indexOf(':')
    return [{ hasUser: colon > 0, password: bytes.subarray(colon < 0 ? bytes.length : colon + 1) }]
  })

/**
 * The password of a raw write. One that might be meant for somebody else is refused, as is one that cannot be read: a
 * text is never stored without the password that its writer gave, nor with one that he did not.
 */
export function passwordToWrite(request: Request): string | undefined {
  const [own, other] = credentialsOf(request)
  if (!own) return undefined
  if (own.hasUser || other) {
    throw invalid(
      'password',
      'It must come with an empty user, and a name came with it. If you typed the name, leave it out: curl -u :PASSWORD … ' +
        'If it is the login of a proxy in front, the proxy has to keep the Authorization header to itself.',
    )
  }
  if (own.password.length === 0)
    throw invalid('password', 'Must come as HTTP Basic with an empty user: curl -u :PASSWORD …')
  return decodePassword(own.password)
}

/** The password of a raw load; what is not for it is ignored. */
export function passwordToLoad(request: Request): string | undefined {
  const own = credentialsOf(request).find(({ hasUser, password }) => !hasUser && password.length > 0)
  return own && decodePassword(own.password)
}

function decodePassword(password: Uint8Array): string {
  try {
    return utf8.decode(password)
  } catch {
    throw invalid('password', 'It is not UTF-8. Set the terminal to UTF-8, or choose one of letters a–z and digits.')
  }
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 }

/** Whole seconds, 60 to `max`, of `90`, `90s`, `10m`, `1h` or `7d`. Throws the refusal `invalid`. */
export function parseDuration(given: string, max: number): number {
  const [, count, unit = 's'] = /^(\d+)([smhd])?$/.exec(given) ?? []
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS]
  if (seconds >= 60 && seconds <= max) return seconds
  throw invalid('expires', `Must be like 90, 10m, 1h or 7d: from 60 seconds to ${duration(max)}.`)
}
