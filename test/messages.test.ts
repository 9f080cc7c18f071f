/** What the clients say: every message in every language, none missing, none left over. */
import { expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERRORS } from '../errors.ts'
import type { Problem } from '../extension/api.ts'
import { LANGUAGES, messagesPath } from '../extension/languages.ts'
import { duration } from '../extension/messages.ts'

const folder = join(import.meta.dir, '../extension')
const sources = readdirSync(folder)
  .filter((name) => /\.(html|ts|json)$/.test(name))
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n')

type Messages = Record<string, { message: string }>
const languages = Object.keys(LANGUAGES).map((language) => {
  const messages: Messages = JSON.parse(readFileSync(join(folder, messagesPath(language)), 'utf8'))
  return [language, messages] as const
})
const [[, en = {}] = []] = languages
const keys = Object.keys(en)

test('every folder of messages is a language that can be chosen', () => {
  expect(readdirSync(join(folder, '_locales')).sort()).toEqual(Object.keys(LANGUAGES).sort())
})

test.each(languages)('in %s no message is missing, left over or empty', (_, messages) => {
  expect({
    missing: keys.filter((key) => !messages[key]?.message.trim()),
    leftOver: Object.keys(messages).filter((key) => !(key in en)),
  }).toEqual({ missing: [], leftOver: [] })
  expect(Object.keys(messages)).toEqual(keys)
})

test.each(languages)('in %s the two halves of the tagline are the tagline', (_, messages) => {
  const [tagline, write, load] = ['tagline', 'taglineWrite', 'taglineLoad'].map((key) => messages[key]?.message)
  expect([`${write} ${load}`, `${write}${load}`]).toContain(String(tagline))
})

test.each(languages)('in %s a message takes the same values as in English', (_, messages) => {
  const places = (message = '') => [...new Set(message.match(/\$\d/g))].sort()
  for (const key of keys) expect([key, places(messages[key]?.message)]).toEqual([key, places(en[key]?.message)])
})

test.each([
  ['en', /^[^\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]*$/u],
  ['ko', /\p{Script=Hangul}|^[^a-z]*$/u],
  ['ja', /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|^[^a-z]*$/u],
  ['zh_CN', /\p{Script=Han}|^[^a-z]*$/u],
])('in %s every message is in that language', (language, script) => {
  const [, messages = {}] = languages.find(([name]) => name === language) ?? []
  for (const [key, { message }] of Object.entries(messages)) {
    if (key !== 'name') expect([key, message]).toEqual([key, expect.stringMatching(script)])
  }
  if (language === 'zh_CN') expect(JSON.stringify(messages)).not.toMatch(/[\p{Script=Hiragana}\p{Script=Katakana}]/u)
})

test('every message that the pages and the manifest name exists', () => {
  const named = [...sources.matchAll(/data-(?:say|label|hint)="(\w+)"|__MSG_(\w+)__/g)].map(
    ([, say, msg]) => say ?? msg,
  )
  expect(named.length).toBeGreaterThan(20)
  for (const key of named) expect(keys).toContain(String(key))
})

test('every error that the server can answer with has a message', () => {
  for (const code of [...Object.keys(ERRORS), 'offline', 'unreachable', 'local'])
    expect(keys).toContain(`error_${code}`)
})

test('every message is used', () => {
  const ours: Problem['reason'][] = [
    'not_sealed',
    'nobody_waits',
    'seal_insecure',
    'seal_password',
    'seal_text',
    'seal_seal',
    'seal_parameters',
    'seal_tampered',
    'seal_content',
    'seal_unavailable',
    'seal_received',
  ]
  const reasons = [...Object.keys(ERRORS), 'offline', 'unreachable', 'local', ...ours]
  const errors = new Set(reasons.map((code) => `error_${code}`))
  const unused = keys.filter((key) => {
    const isError = [...errors].some((error) => key === error || key.startsWith(`${error}_`))
    return !isError && !new RegExp(`['"]${key}['"]|__MSG_${key}__`).test(sources)
  })
  expect(unused).toEqual([])
})

test.each([
  [0, '1 second'],
  [65, '1 minute 5 seconds'],
  [594, '9 minutes 54 seconds'],
  [599, '10 minutes'],
  [3590, '59 minutes'],
  [3597, '1 hour'],
  [7100, '1 hour 58 minutes'],
  [86_399, '1 day'],
  [604_790, '6 days 23 hours'],
  [2_591_998, '30 days'],
])('a time of %d seconds is never overstated: %s', (seconds, said) => {
  expect(duration(seconds * 1000)).toBe(said)
})
