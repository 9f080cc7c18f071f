/** Counters in a bounded memory: what they forget is not forgotten. */
import { expect, test } from 'bun:test'
import { createCounters, type Limit } from '../db/counters.ts'
import { HOUR, MINUTE, T } from './support/support.ts'

const misses: Limit = { name: 'misses', max: 20, window: HOUR, lock: HOUR }
const event = (key: string, amount = 1, limit = misses) => [{ limit, key, amount }]
const countOf = (counters: ReturnType<typeof createCounters>, key: string, now: number, limit = misses) =>
  counters.known(event(key, 1, limit), now)[0]?.count

test('a count is there again after 20,001 others, on each limit, until it ends', () => {
  const bytes: Limit = { name: 'bytes', max: 52_428_800, window: 24 * HOUR }
  const counters = createCounters()
  counters.add(event('guesser', 20), T)
  counters.add(event('writer', 50_000_000, bytes), T)
  // A network has more than a client, under the same limit.
  const network = { ...bytes, max: 40 * bytes.max }
  counters.add(event('network', 2_000_000_000, network), T)
  for (let i = 0; i <= 20_000; i++) {
    counters.add(event(`${i}`), T)
    counters.add(event(`${i}`, 1, bytes), T)
  }
  expect(countOf(counters, 'guesser', T + MINUTE)).toBe(20)
  expect(countOf(counters, 'writer', T + MINUTE, bytes)).toBeGreaterThanOrEqual(50_000_000)
  expect(countOf(counters, 'network', T + MINUTE, network)).toBeGreaterThanOrEqual(2_000_000_000)
  expect(countOf(counters, 'nobody', T + MINUTE)).toBe(0)
  expect(countOf(counters, 'guesser', T + 3 * HOUR)).toBe(0)
})

test('of 300,000 honest clients with up to three misses none reaches the limit, and of 500 guessers all do', () => {
  const counters = createCounters()
  const honest = (client: number) => `honest ${client}`
  const count = (key: string) => counters.add(event(key), T)[0]?.count ?? 0
  let [refused, missed] = [0, 0]
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 500; i++) {
      const counted = count(`guesser ${i}`)
      if (round === 19 && counted < 20) missed++
    }
    for (let client = 0; client < 300_000; client += 1) {
      if (client % 20 !== round) continue
      for (let miss = 0; miss <= client % 3; miss++) if (count(honest(client)) >= 20) refused++
    }
  }
  expect([refused, missed]).toEqual([0, 0])
})

test('what was forgiven stays so, also when it is forgotten', () => {
  const counters = createCounters()
  const fill = (name: string) => {
    for (let i = 0; i <= 20_000; i++) counters.add(event(`${name} ${i}`), T)
  }
  counters.add(event('pupil', 5), T)
  fill('first')
  expect(countOf(counters, 'pupil', T)).toBe(5)
  counters.add(event('pupil'), T)
  counters.forget({ limit: misses, key: 'pupil', amount: 1 })
  expect(countOf(counters, 'pupil', T)).toBe(0)
})
