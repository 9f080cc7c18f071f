import { expect, test } from 'bun:test'
import { readSettings, settingsSchema, writeKeysOf } from '../settings.ts'

test('without any variable the settings are the documented ones', () => {
  expect(readSettings({})).toEqual({
    PORT: 3000,
    DATABASE_URL: 'data/extextcloud.db',
    DATABASE_CONNECTIONS: 10,
    DATABASE_TIMEOUT_SECONDS: 3,
    CORS_ORIGINS: '',
    MAX_TEXT_BYTES: 1_048_576,
    DEFAULT_EXPIRY_SECONDS: 3600,
    MAX_EXPIRY_SECONDS: 2_592_000,
    CODE_REST_SECONDS: 86_400,
    REQUESTS_PER_MINUTE: 120,
    WRITES_PER_MINUTE: 30,
    WRITE_BYTES_PER_DAY: 52_428_800,
    MISSES_PER_HOUR: 20,
    MAX_STORED_BYTES: 536_870_912,
    LOG_LEVEL: 'info',
    DRAIN_SECONDS: 0,
  })
})

test('an empty variable counts as unset, white space around a value is ignored', () => {
  expect(readSettings({ PORT: '', HOST: ' ', PUBLIC_URL: '' })).toEqual(readSettings({}))
  expect(readSettings({ PORT: ' 8080 ' }).PORT).toBe(8080)
})

test('a bad value is refused in one line that names the variable, the value and what it may be', () => {
  const bad: [name: string, value: string, line: string][] = [
    ['PORT', '65536', 'PORT is "65536", but it must be a whole number from 0 to 65535.'],
    ['PORT', '-1', 'PORT is "-1", but it must be a whole number from 0 to 65535.'],
    ['PORT', '3000.5', 'PORT is "3000.5", but it must be a whole number from 0 to 65535.'],
    ['PORT', '1e3', 'PORT is "1e3", but it must be a whole number from 0 to 65535.'],
    ['PORT', 'http', 'PORT is "http", but it must be a whole number from 0 to 65535.'],
    ['MAX_TEXT_BYTES', '0', 'MAX_TEXT_BYTES is "0", but it must be a whole number from 1 to 67108864.'],
    ['MAX_TEXT_BYTES', '1MB', 'MAX_TEXT_BYTES is "1MB", but it must be a whole number from 1 to 67108864.'],
    [
      'DEFAULT_EXPIRY_SECONDS',
      '59',
      'DEFAULT_EXPIRY_SECONDS is "59", but it must be a whole number from 60 to 315360000.',
    ],
  ]
  for (const [name, value, line] of bad) expect(() => readSettings({ [name]: value })).toThrow(new Error(line))
  const words: [name: string, value: string][] = [
    ['PUBLIC_URL', 'www.example.com'],
    ['PUBLIC_URL', 'https://www.example.com/'],
    ['PUBLIC_URL', 'https://user@www.example.com'],
    ['PUBLIC_URL', 'ftp://www.example.com'],
    ['CORS_ORIGINS', '*'],
    ['CORS_ORIGINS', 'https://a.example/path'],
    ['CORS_ORIGINS', 'https://a.example https://b.example'],
    ['CLIENT_IP_HEADER', 'X-Forwarded-For: 1'],
    ['PUBLIC_URL', 'https://a:99999'],
    ['PUBLIC_URL', 'https://:'],
    ['PUBLIC_URL', 'https://['],
    ['PUBLIC_URL', 'https://A.example'],
    ['LOG_LEVEL', 'debug'],
    ['OPERATOR_URL', 'www.example.com'],
    ['OPERATOR_URL', 'javascript:alert'],
  ]
  for (const [name, value] of words) {
    const line = new RegExp(
      `^${name} is "${value.replace(/[*./?[]/g, '\\$&')}", but it must be (an |the |origins |info, )[^\n]+[^.]\\.$`,
    )
    expect(() => readSettings({ [name]: value })).toThrow(line)
  }
})

test('write keys that are none are refused without being repeated', () => {
  const key = 'k'.repeat(16)
  for (const value of [
    key,
    `:${key}`,
    `anna:${key.slice(1)}`,
    `anna:${key},`,
    ',',
    `anna:${key},anna:${key}x`,
    `anna:${key},ben:${key}`,
    `anna:${key} ben:${key}x`,
    `anna:${'ä'.repeat(16)}`,
    `an na:${key}`,
  ]) {
    let said = ''
    try {
      readSettings({ WRITE_KEYS: value })
    } catch (error) {
      said = String(error)
    }
    expect(said).toMatch(/^Error: WRITE_KEYS must be name:key pairs, [^\n]+\.$/)
    expect(said).not.toContain(key.slice(1))
  }
  const two = `anna:${key}, 선생님:a:b-${key}`
  expect(writeKeysOf(readSettings({ WRITE_KEYS: two }).WRITE_KEYS)).toEqual([
    ['anna', key],
    ['선생님', `a:b-${key}`],
  ])
})

test('a bad address of a database is refused without being repeated, since it may hold a password', () => {
  for (const value of [
    'postgres://user:a/secret@localhost:x/a',
    'postgres://user:p@ss/secret@localhost/a',
    'postgres://user:12/secret@localhost/a',
    'postgres://user:12#secret@localhost/a',
    'postgres://user:12?secret@localhost/a',
    'postgres://user:100%@localhost/a',
    'mysql://user:secret@localhost/a',
    'mysql://localhost',
    'file:a.db',
  ]) {
    expect(() => readSettings({ DATABASE_URL: value })).toThrow(
      new Error(
        'DATABASE_URL must be the path of a file, :memory:, or postgres://USER:PASSWORD@HOST/NAME, with USER and PASSWORD percent-encoded.',
      ),
    )
  }
})

test('an address of a database may have an encoded password, options, or nothing but a host', () => {
  for (const value of ['postgres://u:a%2Fb%40%25@h:1/a?sslmode=require', 'postgresql://u@[::1]/a', 'postgres://h']) {
    expect(readSettings({ DATABASE_URL: value }).DATABASE_URL).toBe(value)
  }
})

test('texts cannot live longer by default than they may', () => {
  expect(() => readSettings({ MAX_EXPIRY_SECONDS: '600' })).toThrow(
    'DEFAULT_EXPIRY_SECONDS is 3600, but it must not be above MAX_EXPIRY_SECONDS, 600.',
  )
  expect(readSettings({ MAX_EXPIRY_SECONDS: '600', DEFAULT_EXPIRY_SECONDS: '600' }).DEFAULT_EXPIRY_SECONDS).toBe(600)
})

test('settings that cannot be kept together stop the start with one line that names both', () => {
  const pairs: [env: Record<string, string>, one: string, other: string][] = [
    [{ MAX_TEXT_BYTES: '67108864' }, 'MAX_TEXT_BYTES', 'WRITE_BYTES_PER_DAY'],
    [{ WRITE_BYTES_PER_DAY: '1000' }, 'MAX_TEXT_BYTES', 'WRITE_BYTES_PER_DAY'],
    [{ WRITE_BYTES_PER_DAY: '0', MAX_TEXT_BYTES: '67108864' }, 'MAX_TEXT_BYTES', 'MAX_STORED_BYTES'],
    [{ MAX_STORED_BYTES: '1000' }, 'MAX_TEXT_BYTES', 'MAX_STORED_BYTES'],
    [{ MAX_STORED_BYTES: '10485759' }, 'MAX_TEXT_BYTES', 'MAX_STORED_BYTES'],
    [{ DEFAULT_EXPIRY_SECONDS: '2592001' }, 'DEFAULT_EXPIRY_SECONDS', 'MAX_EXPIRY_SECONDS'],
    [{ METRICS_PORT: '3000' }, 'METRICS_PORT', 'PORT'],
    [{ DATABASE_POOLER: 'transaction' }, 'DATABASE_POOLER', 'DATABASE_URL'],
  ]
  for (const [env, one, other] of pairs) {
    expect(() => readSettings(env)).toThrow(new RegExp(`^${one} is .*\\b${other}\\b[^\n]*\\.$`))
  }
  for (const env of [
    { WRITE_BYTES_PER_DAY: '1048576' },
    { WRITE_BYTES_PER_DAY: '0' },
    { MAX_STORED_BYTES: '10485760' },
    { MAX_TEXT_BYTES: '67108864', WRITE_BYTES_PER_DAY: '67108864', MAX_STORED_BYTES: '671088640' },
    { PORT: '0', METRICS_PORT: '0' },
    { DATABASE_POOLER: 'transaction', DATABASE_URL: 'postgres://h' },
  ]) {
    expect(readSettings(env)).toBeDefined()
  }
})

test('the table in README names every setting with its value and meaning, and no other', async () => {
  const readme = await Bun.file(new URL('../README.md', import.meta.url)).text()
  const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$/gm)].map(([, ...cells]) => cells)
  const expected = Object.entries(settingsSchema.properties).map(([name, schema]) => [
    name,
    schema.default === undefined || schema.default === '' ? '' : `\`${schema.default}\``,
    schema.description,
  ])
  expect(rows as unknown[]).toEqual(expected)
})
