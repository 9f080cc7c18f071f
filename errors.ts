/** Every outcome that is not a success: the one table from error codes to statuses and sentences. It imports nothing, so every layer may use it. */

/** Per error code: the HTTP status, and what the user is told. Where a wait is known, a sentence about it follows. */
export const ERRORS = {
  malformed: [400, 'The request body is not valid JSON.'],
  password_required: [401, 'This text has a password.'],
  wrong_password: [401, 'The password is wrong.'],
  write_key_required: [403, 'Who writes on this server has to bring one of its keys: in the header X-Write-Key.'],
  cross_site: [403, 'Another site’s page asked for this. Open the address itself.'],
  not_found: [404, 'There is no text with this code: it has expired, was erased or taken, or the code is mistyped.'],
  method_not_allowed: [405, 'This address does not take this method.'],
  use_post: [409, 'This text can be read only once. To read it now, send a POST to the same address (curl -X POST …).'],
  only_once: [409, 'This text can be read only once. It is there, and stays until it is asked for with take.'],
  sealed: [409, 'This text is sealed: its password opens it in a browser, and nowhere else.'],
  receiving: [409, 'Somebody waits for a text under this code: it can be written to, and not read.'],
  text_too_large: [413, 'The text is too large.'],
  unsupported_media_type: [415, 'The request needs the header Content-Type: application/json.'],
  wrong_host: [421, 'This server has another name.'],
  invalid: [422, 'The request is not as it must be.'],
  too_many_requests: [429, 'Too many requests came from your network address.'],
  too_many_misses: [
    429,
    'Too many codes without a text were asked for from your network address, as someone who guesses codes would do. ' +
      'Loading and erasing are paused for everyone who shares this address; writing is not.',
  ],
  too_many_passwords: [
    429,
    'Too many wrong passwords were tried for this text. It is locked for a while, and expires when it would anyway.',
  ],
  too_many_bytes: [429, 'Your network address has written as much as it may in a day.'],
  busy: [503, 'The server cannot answer right now.'],
  no_codes_left: [503, 'Every code is in use or at rest right now.'],
  too_many_waiting: [503, 'Too many codes wait for a text right now.'],
  storage_full: [507, 'The server has no room for this text right now.'],
  internal: [500, 'Something went wrong on the server. It has been logged.'],
} as const satisfies Record<string, readonly [status: number, message: string]>

export type ErrorCode = keyof typeof ERRORS

interface Details {
  /** Seconds, rounded up, until it is worth another try: the `Retry-After` header. */
  retryAfter?: number
  /** A sentence that says more than the table's. */
  message?: string
  /** The fields at fault. */
  issues?: { path: string; message: string }[]
  /** The methods that the address takes: the `Allow` header. */
  allow?: string[]
  /** How many more wrong passwords the text takes from this client before it is locked. */
  triesLeft?: number
  /** With what a sealed text was sealed: the reader needs it to try a password. */
  seal?: string
  /** What whoever waits for a text wants it to be sealed with. */
  publicKey?: string
}

/** A request that is answered with a row of `ERRORS`. */
export class Refusal extends Error {
  /** Not a getter, since Elysia writes it where a hook before every request throws. */
  status: (typeof ERRORS)[ErrorCode][0]

  constructor(
    readonly reason: ErrorCode,
    readonly details: Details = {},
  ) {
    super(details.message ?? ERRORS[reason][1])
    this.status = ERRORS[reason][0]
  }

  private get sentence(): string {
    const { retryAfter } = this.details
    return retryAfter === undefined ? this.message : `${this.message} Try again in ${duration(retryAfter)}.`
  }

  /** For people, on the raw routes. */
  get text(): string {
    const { issues } = this.details
    // A name that is no word is quoted: it may be blank, or break the line.
    const quoted = (path: string) => (/^\w+$/.test(path) ? path : JSON.stringify(path))
    return issues ? issues.map(({ path, message }) => `${quoted(path)}: ${message}\n`).join('') : `${this.sentence}\n`
  }

  /** For programs, on the JSON routes. */
  get body(): {
    error: { code: ErrorCode; message: string } & Pick<Details, 'issues' | 'triesLeft' | 'seal' | 'publicKey'>
  } {
    const { issues, triesLeft, seal, publicKey } = this.details
    return {
      error: {
        code: this.reason,
        message: this.sentence,
        ...(issues && { issues }),
        ...(triesLeft !== undefined && { triesLeft }),
        ...(seal !== undefined && { seal }),
        ...(publicKey !== undefined && { publicKey }),
      },
    }
  }
}

/** The refusal of a field that is not as it must be. */
export const invalid = (path: string, message: string) => new Refusal('invalid', { issues: [{ path, message }] })

/** The refusal of a text, or whatever else, of more than `maxBytes`. */
export const tooLarge = (maxBytes: number, what = 'text') =>
  new Refusal('text_too_large', { message: `The ${what} is larger than ${maxBytes.toLocaleString('en')} bytes.` })

/** @param seconds a whole number */
export function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} ${seconds === 1 ? 'second' : 'seconds'}`
  if (seconds < 7200) return `${Math.ceil(seconds / 60)} minutes`
  if (seconds < 172_800) return `${Math.ceil(seconds / 3600)} hours`
  return `${Math.ceil(seconds / 86_400)} days`
}
