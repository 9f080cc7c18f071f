/** Every answer that is not a success: the one table from error codes to statuses and sentences. */
import { type Static, type TSchema, Type as t } from '@sinclair/typebox'
import { DrizzleQueryError } from 'drizzle-orm'
import { ValidationError } from 'elysia'
import { log } from './log.ts'

/** Per error code: the HTTP status, and what the user is told. Where a wait is known, a sentence about it follows. */
export const ERRORS = {
  malformed: [400, 'The request body is not valid JSON.'],
  password_required: [401, 'This text has a password.'],
  wrong_password: [401, 'The password is wrong.'],
  not_found: [404, 'There is no text with this code: it has expired, was erased or taken, or the code is mistyped.'],
  use_post: [409, 'This text can be read only once. To read it now, send a POST to the same address (curl -X POST …).'],
  only_once: [409, 'This text can be read only once. It is there, and stays until it is asked for with take.'],
  text_too_large: [413, 'The text is too large.'],
  unsupported_media_type: [415, 'The request needs the header Content-Type: application/json.'],
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
  /** How many more wrong passwords the text takes from this client before it is locked. */
  triesLeft?: number
}

/** A request that is answered with a row of `ERRORS`. */
export class Refusal extends Error {
  constructor(
    readonly reason: ErrorCode,
    readonly details: Details = {},
  ) {
    super(details.message ?? ERRORS[reason][1])
  }

  private get sentence(): string {
    const { retryAfter } = this.details
    return retryAfter === undefined ? this.message : `${this.message} Try again in ${duration(retryAfter)}.`
  }

  get status(): (typeof ERRORS)[ErrorCode][0] {
    return ERRORS[this.reason][0]
  }

  /** For people, on the raw routes. */
  get text(): string {
    const { issues } = this.details
    // A name that is no word is quoted: it may be blank, or break the line.
    const quoted = (path: string) => (/^\w+$/.test(path) ? path : JSON.stringify(path))
    return issues ? issues.map(({ path, message }) => `${quoted(path)}: ${message}\n`).join('') : `${this.sentence}\n`
  }

  /** For programs, on the JSON routes. */
  get body(): Static<typeof errorBody> {
    const { issues, triesLeft } = this.details
    return {
      error: {
        code: this.reason,
        message: this.sentence,
        ...(issues && { issues }),
        ...(triesLeft !== undefined && { triesLeft }),
      },
    }
  }
}

/** The refusal of a field that is not as it must be. */
export const invalid = (path: string, message: string) => new Refusal('invalid', { issues: [{ path, message }] })

/** The refusal of a text of more than `maxTextBytes`. */
export const tooLarge = (maxTextBytes: number) =>
  new Refusal('text_too_large', { message: `The text is larger than ${maxTextBytes.toLocaleString('en')} bytes.` })

/** The body of every JSON answer that is not a success. */
export const errorBody = t.Object({
  error: t.Object({
    code: t.String({ description: 'One of the error codes of this API, for programs.' }),
    message: t.String({ description: 'A sentence for people.' }),
    issues: t.Optional(t.Array(t.Object({ path: t.String(), message: t.String() }))),
    triesLeft: t.Optional(
      t.Integer({
        description: 'With `wrong_password`: the tries left before the text is locked for this client.',
      }),
    ),
  }),
})

/** The errors that every route with a JSON body has, that writing has, that any look-up has, and that loading has. */
export const JSON_ERRORS = ['malformed', 'unsupported_media_type', 'text_too_large', 'invalid'] as const
export const WRITE_ERRORS = [
  'invalid',
  'text_too_large',
  'unsupported_media_type',
  'too_many_requests',
  'too_many_bytes',
  'busy',
  'no_codes_left',
  'storage_full',
] as const
export const LOOK_UP_ERRORS = [
  'invalid',
  'not_found',
  'too_many_requests',
  'too_many_misses',
  'busy',
  'storage_full',
] as const
export const LOAD_ERRORS = [...LOOK_UP_ERRORS, 'password_required', 'wrong_password', 'too_many_passwords'] as const

/** What else OpenAPI says of an answer, by its status. */
const HEADERS: Record<number, string> = {
  401: ' On the raw routes with `WWW-Authenticate: Basic`.',
  429: ' With `Retry-After` in seconds.',
  503: ' With `Retry-After` in seconds.',
}

/** The `response` schemas, by status, of the errors that a route answers with, in the form that `body` describes. */
export function answers<C extends ErrorCode, B extends TSchema>(body: B, codes: readonly C[]) {
  const byStatus = Object.groupBy(new Set<ErrorCode>([...codes, 'internal']), (code) => ERRORS[code][0])
  const schemas = Object.entries(byStatus).map(([status, codes = []]) => [
    status,
    {
      ...body,
      description: codes.map((code) => `\`${code}\`: ${ERRORS[code][1]}${HEADERS[ERRORS[code][0]] ?? ''}`).join('\n\n'),
    },
  ])
  return Object.fromEntries(schemas) as { [S in (typeof ERRORS)[C | 'internal'][0]]: B }
}

const NO_ROUTE = 'There is nothing at this address. To write a text, POST it to /. To load one, GET /CODE.'

/** What to answer to anything that was thrown. What is not expected is logged, and told to the user as `internal` only. */
export function toRefusal(error: unknown, code: string | number): Refusal {
  const cause = error instanceof Error && error.cause instanceof Refusal ? error.cause : error
  if (cause instanceof Refusal) return cause
  if (code === 'NOT_FOUND') return new Refusal('not_found', { message: NO_ROUTE })
  if (code === 'PARSE') return new Refusal('malformed')
  if (error instanceof ValidationError && error.type !== 'response') {
    // The first of each field: the further ones only say the same in other words.
    const issues = new Map<string, string>()
    for (const { path, message, schema } of error.all as {
      path: string
      message: string
      schema?: TSchema
    }[]) {
      const field = path.slice(1).replaceAll('~1', '/').replaceAll('~0', '~') // A JSON pointer, RFC 6901.
      const isUnknown =
        schema?.type === 'object' &&
        Object.hasOwn(Object(error.value), field) &&
        !Object.hasOwn(schema.properties, field)
      const reason = isUnknown ? `There is only: ${Object.keys(schema.properties).join(', ')}.` : schema?.description
      if (!issues.has(field)) issues.set(field, reason ?? message)
    }
    return new Refusal('invalid', { issues: [...issues].map(([path, message]) => ({ path, message })) })
  }
  logError(error)
  return new Refusal('internal')
}

/** Logs all of an error but the values that a request brought: a failed query's message and parameters hold them. */
export function logError(error: unknown) {
  const cause = error instanceof DrizzleQueryError ? error.cause : error
  if (cause instanceof Refusal) log.error(cause.cause instanceof Error ? cause.cause.message : cause.message)
  else log.error(cause instanceof ValidationError ? new Error('An answer breaks its schema') : cause)
}

/** @param seconds a whole number */
export function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} ${seconds === 1 ? 'second' : 'seconds'}`
  if (seconds < 7200) return `${Math.ceil(seconds / 60)} minutes`
  if (seconds < 172_800) return `${Math.ceil(seconds / 3600)} hours`
  return `${Math.ceil(seconds / 86_400)} days`
}
