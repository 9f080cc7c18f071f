/** How requests are answered: texts and JSON; refusals, their schemas for OpenAPI, and what a thrown error means. */
import { type TSchema, Type as t } from '@sinclair/typebox'
import { type Context, status, ValidationError } from 'elysia'
import { ERRORS, type ErrorCode, Refusal } from './errors.ts'
import { log } from './log.ts'
import { PLAIN_TEXT, wantsPage } from './request.ts'

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
    seal: t.Optional(
      t.String({
        description:
          'With `password_required` and `wrong_password` of a sealed text: what `password` is to be derived with.',
      }),
    ),
    publicKey: t.Optional(
      t.String({ description: 'With `receiving`: what the text is to be sealed with, where the receiver has a key.' }),
    ),
  }),
})

/** The errors that every route with a JSON body has, that filling in a text has, that writing has, that any look-up has, and that loading has. */
export const JSON_ERRORS = ['malformed', 'unsupported_media_type', 'text_too_large', 'invalid'] as const
export const FILL_ERRORS = [
  'invalid',
  'text_too_large',
  'unsupported_media_type',
  'too_many_requests',
  'too_many_misses',
  'too_many_bytes',
  'busy',
  'storage_full',
] as const
export const WRITE_ERRORS = [...FILL_ERRORS, 'write_key_required', 'no_codes_left'] as const
export const LOOK_UP_ERRORS = [
  'invalid',
  'not_found',
  'too_many_requests',
  'too_many_misses',
  'busy',
  'storage_full',
] as const
export const LOAD_ERRORS = [
  ...LOOK_UP_ERRORS,
  'receiving',
  'password_required',
  'wrong_password',
  'too_many_passwords',
] as const

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

const WAYS = 'To write a text, POST it to /. To load one, GET /CODE.'

/** Makes what tells the methods that an address takes: those of the route that is named so, else of all whose pattern it fits. */
export function createMethods(routes: { method: string; path: string }[]) {
  const all = routes
    .filter(({ method }) => method !== 'OPTIONS') // Which cors answers everywhere.
    .map((route) => ({ ...route, pattern: new URLPattern({ pathname: route.path }) }))
  return (address: string) => {
    const path = address.replace(/(.)\/$/, '$1')
    const named = all.filter((route) => route.path === path)
    const fitting = named.length > 0 ? named : all.filter(({ pattern }) => pattern.test({ pathname: path }))
    return [...new Set(fitting.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : method)))].sort()
  }
}

/** The refusal of a method that is none of those which its address takes; undefined where it is, or the address takes none. */
export const refuseMethod = (method: string, allow: string[]) =>
  allow.length === 0 || allow.includes(method)
    ? undefined
    : new Refusal('method_not_allowed', { allow, message: `This address takes ${allow.join(', ')} alone. ${WAYS}` })

/** What to answer to anything that was thrown. What is not expected is logged, and told to the user as `internal` only. */
export function toRefusal(error: unknown, code: string | number): Refusal {
  const cause = error instanceof Error && error.cause instanceof Refusal ? error.cause : error
  if (cause instanceof Refusal) return cause
  if (code === 'NOT_FOUND') return new Refusal('not_found', { message: `There is nothing at this address. ${WAYS}` })
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

/** The answer to a request for `path`: JSON where programs ask, the page at `home` where a browser does, else plain text. */
export function answer(
  refusal: Refusal,
  path: string,
  request: Request,
  headers: Record<string, string | number>,
  home = '',
) {
  const { retryAfter, allow } = refusal.details
  if (retryAfter !== undefined) headers['retry-after'] = String(retryAfter)
  if (allow) headers.allow = allow.join(', ')
  if (/^\/(api\/|openapi\/|health$)/.test(path)) return status(refusal.status, refusal.body)
  headers['content-type'] = PLAIN_TEXT
  if (/^(not_found|invalid)$/.test(refusal.reason) && wantsPage(request)) {
    headers.location = `${home}/#wrong-address`
    return status(302, '' as never)
  }
  let { text } = refusal
  if (refusal.status === 401) {
    headers['www-authenticate'] = 'Basic realm="extextcloud", charset="UTF-8"'
    text += 'Send the password with: curl -u :PASSWORD …\n'
  }
  // Hidden from the JSON routes' types, which would otherwise have to reckon with it.
  return status(refusal.status, text as never)
}

/** Sets of headers that are remembered: of a text, of JSON, and few others. */
const REMEMBERED_HEADERS = 8

type HeadersRecord = Context['set']['headers']

const isSame = (one: HeadersRecord, other: HeadersRecord) => {
  for (const name in one) if (one[name] !== other[name]) return false
  for (const name in other) if (!(name in one)) return false
  return true
}

/** Headers that differ from one request to the next, and name a code or an installation of the extension. */
const isPersonal = (headers: HeadersRecord) => 'location' in headers || 'access-control-allow-origin' in headers

/** Makes what answers with a text or with JSON. Its headers are made once: anew each time they take longer than reading a text. */
export function createResponder() {
  const made: [HeadersRecord, Headers][] = []

  function headersOf(record: HeadersRecord): Headers {
    const known = made.find(([other]) => isSame(record, other))
    if (known) return known[1]
    const headers = new Headers(record as Record<string, string>)
    made.unshift([record, headers])
    made.length = Math.min(made.length, REMEMBERED_HEADERS)
    return headers
  }

  /** Returns what is Elysia's to answer. */
  return ({ responseValue: body, set }: { responseValue?: unknown; set: Context['set'] }) => {
    const { headers: record, status } = set
    const isText = typeof body === 'string'
    const isOurs = isText || (typeof body === 'object' && body?.constructor === Object)
    if (!isOurs || typeof status !== 'number' || isPersonal(record)) return body as undefined
    const init = { status, headers: headersOf(record) }
    Object.assign(set, { headers: {}, status: 200 }) // Elysia would make another answer of this one and what is set.
    return isText ? new Response(body, init) : Response.json(body, init)
  }
}

/** Logs all of an error but the values that a request brought: a failed query's message and parameters hold them. */
export function logError(error: unknown) {
  if (error instanceof Refusal) log.error(error.cause instanceof Error ? error.cause.message : error.message)
  else log.error(error instanceof ValidationError ? new Error('An answer breaks its schema') : error)
}
