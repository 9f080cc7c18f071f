/** What the clients say: every message in both languages, none missing, none left over. */
import { expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERRORS } from '../errors.ts'
import en from '../extension/_locales/en/messages.json'
import ko from '../extension/_locales/ko/messages.json'
import { duration } from '../extension/messages.ts'

const folder = join(import.meta.dir, '../extension')
const sources = readdirSync(folder)
  .filter((name) => /\.(html|ts|json)$/.test(name))
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n')

const keys = Object.keys(en)

test('both languages have the same messages, and none is empty', () => {
  expect(Object.keys(ko)).toEqual(keys)
  for (const [key, { message }] of [...Object.entries(en), ...Object.entries(ko)]) {
    expect([key, message.trim().length > 0]).toEqual([key, true])
  }
})

test('the two halves of the tagline are the tagline', () => {
  for (const { tagline, taglineWrite, taglineLoad } of [en, ko]) {
    expect(`${taglineWrite.message} ${taglineLoad.message}`).toBe(tagline.message)
  }
})

test('a message takes the same values in both languages', () => {
  const places = (message: string) => [...new Set(message.match(/\$\d/g))].sort()
  for (const [key, { message }] of Object.entries(en)) {
    expect([key, places(ko[key as keyof typeof ko].message)]).toEqual([key, places(message)])
  }
})

test('English is English and Korean is Korean', () => {
  const foreign = new Set(['otherLanguage', 'name']) // The switch names the other language in its own words.
  for (const [key, { message }] of Object.entries(en)) {
    if (!foreign.has(key)) expect([key, message]).toEqual([key, expect.not.stringMatching(/[가-힣]/)])
  }
  for (const [key, { message }] of Object.entries(ko)) {
    if (!foreign.has(key)) expect([key, message]).toEqual([key, expect.stringMatching(/[가-힣]|^[^a-z]*$/)])
  }
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
  const errors = new Set([...Object.keys(ERRORS), 'offline', 'unreachable', 'local'].map((code) => `error_${code}`))
  const unused = keys.filter((key) => {
    const isError = [...errors].some((error) => key === error || key.startsWith(`${error}_`))
    return !isError && !new RegExp(`['"]${key}['"]|__MSG_${key}__`).test(sources)
  })
  expect(unused).toEqual([])
})

test.each([
  [0, '1 sec'],
  [65, '1 min, 5 sec'],
  [594, '9 min, 54 sec'],
  [599, '10 min'],
  [3590, '59 min'],
  [3597, '1 hr'],
  [7100, '1 hr, 58 min'],
  [86_399, '1 day'],
  [604_790, '6 days, 23 hr'],
  [2_591_998, '30 days'],
])('a time of %d seconds is never overstated: %s', (seconds, said) => {
  expect(duration(seconds * 1000)).toBe(said.replace(',', ''))
})
