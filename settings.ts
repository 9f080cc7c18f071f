/** The settings: every environment variable that is read, what it may be, and what it is without being set. */

import { FormatRegistry, type Static, type TSchema, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const whole = (fallback: number, minimum: number, maximum: number, description: string) =>
  t.Integer({ default: fallback, minimum, maximum, description })

/** An origin as browsers write it, in small letters: `https://www.example.com`. */
const isOrigin = (value: string) => /^https?:/.test(value) && URL.parse(value)?.origin === value

/**
 * The address of a database, in which no part can be meant for another: of a password that is not percent-encoded, the
 * rest would be taken for the host or the name, and be shown as such.
 */
function isDatabase(value: string): boolean {
  const url = URL.parse(value)
  return url !== null && /^(\/[^/@?#]*)?(\?[^@#]*)?$/.test(url.pathname + url.search + url.hash) && isEncoded(url)
}

function isEncoded({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(username + password) !== undefined
  } catch {
    return false
  }
}

FormatRegistry.Set('origin', isOrigin)
FormatRegistry.Set('database', (value) => !value.includes('://') || isDatabase(value))
/** The names and keys in `WRITE_KEYS`: none where it is not set. */
export const writeKeysOf = (given = ''): [name: string, key: string][] =>
  (given === '' ? [] : given.split(',')).map((pair) => {
    const [, name = '', key = ''] = /^\s*([^:]*):(.*?)\s*$/.exec(pair) ?? []
    return [name, key]
  })

/** Names and keys, `name:key`, of which none is there twice. A key is what a header can carry. */
function areWriteKeys(value: string): boolean {
  const keys = writeKeysOf(value)
  const isWhole = ([name, key]: [string, string]) => /^[^\s:]+$/.test(name) && /^[!-~]{16,}$/.test(key)
  const areDistinct = [0, 1].every((part) => new Set(keys.map((pair) => pair[part])).size === keys.length)
  return keys.every(isWhole) && areDistinct
}

FormatRegistry.Set('write-keys', areWriteKeys)
FormatRegistry.Set('link', (value) => /^(https?|mailto):$/.test(URL.parse(value)?.protocol ?? ''))
FormatRegistry.Set('origins', (value) => value === '' || value.split(',').every((origin) => isOrigin(origin.trim())))

export const settingsSchema = t.Object({
  PORT: whole(3000, 0, 65_535, 'The port to listen on; 0 takes a free one.'),
  HOST: t.Optional(t.String({ description: 'The address to listen on; without it every address of the machine.' })),
  DATABASE_URL: t.String({
    default: 'data/extextcloud.db',
    pattern: '^(?!\\w+:)|^postgres(ql)?://.',
    format: 'database',
    isSecret: true, // It may hold a password.
    form: 'the path of a file, :memory:, or postgres://USER:PASSWORD@HOST/NAME, with USER and PASSWORD percent-encoded',
    description: 'The path of the SQLite file, `:memory:`, or the `postgres://` address of a PostgreSQL database.',
  }),
  DATABASE_CONNECTIONS: whole(
    10,
    1,
    1000,
    'Connections that this server opens to PostgreSQL: all servers together must stay below its `max_connections`, 100 by default.',
  ),
  DATABASE_TIMEOUT_SECONDS: whole(
    3,
    1,
    60,
    'Seconds until PostgreSQL gives up a statement, and this server a connection attempt: what takes milliseconds when all is well.',
  ),
  DATABASE_POOLER: t.Optional(
    t.String({
      pattern: '^transaction$',
      form: 'transaction',
      description:
        '`transaction` behind a pooler, such as PgBouncer, that lends a connection for one transaction: then no prepared statement and no setting is left on it.',
    }),
  ),
  PUBLIC_URL: t.Optional(
    t.String({
      format: 'origin',
      form: 'an origin such as https://www.example.com, with nothing behind it',
      description:
        'The canonical origin, such as `https://www.example.com`: a page request for another host is redirected there; `https` turns on HSTS.',
    }),
  ),
  CLIENT_IP_HEADER: t.Optional(
    t.String({
      pattern: '^[A-Za-z0-9-]+$',
      form: 'the name of a header',
      description:
        'The header in which your proxy names the client: `X-Forwarded-For` behind Caddy, `Fly-Client-IP` on Fly. Set it only behind such a proxy: without it no header is believed.',
    }),
  ),
  CORS_ORIGINS: t.String({
    default: '',
    format: 'origins',
    form: 'origins such as https://www.example.com, separated by commas',
    description: 'Further origins, separated by commas, whose pages may call the API.',
  }),
  WRITE_KEYS: t.Optional(
    t.String({
      format: 'write-keys',
      form: 'name:key pairs, separated by commas, no name or key twice, each key at least 16 characters without white space',
      isSecret: true,
      description:
        'Who may write, as `name:key` pairs separated by commas, each key at least 16 characters: `anna:…,school:…`. A key travels in `X-Write-Key`; loading never needs one. Without it anyone writes.',
    }),
  ),
  OPERATOR_NAME: t.Optional(t.String({ description: 'Who runs this server: shown at the foot of the page.' })),
  OPERATOR_URL: t.Optional(
    t.String({
      format: 'link',
      form: 'an address such as https://www.example.com/about or mailto:me@example.com',
      description:
        'Where the operator’s name leads, such as `https://www.example.com/about` or `mailto:me@example.com`.',
    }),
  ),
  MAX_TEXT_BYTES: whole(1_048_576, 1, 67_108_864, 'The largest text, in bytes of UTF-8.'),
  DEFAULT_EXPIRY_SECONDS: whole(3600, 60, 315_360_000, 'How long a text lives when its writer does not say.'),
  MAX_EXPIRY_SECONDS: whole(2_592_000, 60, 315_360_000, 'The longest that a text may live.'),
  CODE_REST_SECONDS: whole(
    86_400,
    0,
    31_536_000,
    'How long a returned code rests, so that a stale note never opens a stranger’s text.',
  ),
  REQUESTS_PER_MINUTE: whole(
    120,
    0,
    1e9,
    'Requests per client and minute, of which a large body counts as several: above what a person does, below what hurts.',
  ),
  WRITES_PER_MINUTE: whole(30, 0, 1e9, 'Writes per client and minute: each one costs a code and a commit.'),
  WRITE_BYTES_PER_DAY: whole(
    52_428_800,
    0,
    1e15,
    'Bytes written per client and day: one client must not fill the disk.',
  ),
  MISSES_PER_HOUR: whole(
    20,
    0,
    1e9,
    'Codes without a text that a client may ask for in an hour; then its loads are refused for an hour. With every code lent, 20 guesses an hour would still need 41 years for them all.',
  ),
  MAX_TEXTS: whole(
    100_000,
    1,
    7_311_616,
    'Texts that are stored at a time: of 73 guesses one would find a text. A pool that is nearly empty would tell by what it lacks which codes have one.',
  ),
  MAX_STORED_BYTES: whole(536_870_912, 1, 1e15, 'Bytes of all texts together: what the disk can spare.'),
  METRICS_PORT: t.Optional(
    t.Integer({
      minimum: 0,
      maximum: 65_535,
      description:
        'The port for Prometheus, on the same `HOST`; without it there are no metrics. Keep it from the internet.',
    }),
  ),
  LOG_LEVEL: t.String({
    default: 'info',
    pattern: '^(info|warn|error)$',
    form: 'info, warn or error',
    description:
      '`info` logs every request, `warn` only the refusals of a limit and what failed, `error` only the latter.',
  }),
  DRAIN_SECONDS: whole(
    0,
    0,
    60,
    'Seconds between the first 503 of `/health` and the end of listening when the server stops: for a balancer in front of several to look away.',
  ),
})

export type Settings = Static<typeof settingsSchema>

/**
 * Reads the settings from `env`; an empty variable counts as unset.
 * @throws an Error of one line that names the variable and what it may be
 */
export function readSettings(env: Record<string, string | undefined>): Settings {
  const settings: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries<TSchema>(settingsSchema.properties)) {
    const given = env[name]?.trim() || undefined
    const value =
      given === undefined ? schema.default : schema.type === 'integer' && /^\d+$/.test(given) ? Number(given) : given
    if (value === undefined) continue
    if (!Value.Check(schema, value)) {
      throw new Error(`${name} ${schema.isSecret ? '' : `is "${given}", but it `}must be ${allowed(schema)}.`)
    }
    settings[name] = value
  }
  const read = Value.Decode(settingsSchema, settings)
  for (const line of contradictions(read)) throw new Error(line)
  return read
}

/** What two settings promise and cannot both keep, such as a text that is never stored, however long one waits: a line for each pair. */
function* contradictions(read: Settings) {
  const { DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS, MAX_TEXT_BYTES, WRITE_BYTES_PER_DAY, PORT, METRICS_PORT } = read
  if (DEFAULT_EXPIRY_SECONDS > MAX_EXPIRY_SECONDS) {
    yield `DEFAULT_EXPIRY_SECONDS is ${DEFAULT_EXPIRY_SECONDS}, but it must not be above MAX_EXPIRY_SECONDS, ${MAX_EXPIRY_SECONDS}.`
  }
  if (WRITE_BYTES_PER_DAY > 0 && MAX_TEXT_BYTES > WRITE_BYTES_PER_DAY) {
    yield `MAX_TEXT_BYTES is ${MAX_TEXT_BYTES}, but it must not be above WRITE_BYTES_PER_DAY, ${WRITE_BYTES_PER_DAY}.`
  }
  const ofNetwork = Math.floor(read.MAX_STORED_BYTES / 10)
  if (MAX_TEXT_BYTES > ofNetwork) {
    yield `MAX_TEXT_BYTES is ${MAX_TEXT_BYTES}, but it must not be above what one network may store, a tenth of MAX_STORED_BYTES, ${ofNetwork}.`
  }
  if (METRICS_PORT && METRICS_PORT === PORT)
    yield `METRICS_PORT is ${METRICS_PORT}, and so is PORT: each needs its own.`
  if (read.DATABASE_POOLER && !/^postgres/.test(read.DATABASE_URL)) {
    yield 'DATABASE_POOLER is set, but DATABASE_URL is no postgres:// address.'
  }
}

const allowed = (schema: TSchema): string =>
  schema.type === 'integer' ? `a whole number from ${schema.minimum} to ${schema.maximum}` : schema.form
