/** What every limit is reckoned with: events, their counts, and how long to wait for room. */
import type { Count, Counters, Limit, LimitEvent } from './db/counters.ts'
import { type ErrorCode, Refusal } from './errors.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

type Counts = readonly Readonly<Count>[]

/** The events whose limit is not turned off. */
export const events = (...all: [limit: Limit, key: string, amount?: number][]): LimitEvent[] =>
  all.flatMap(([limit, key, amount = 1]) => (limit.max > 0 ? [{ limit, key, amount }] : []))

/**
 * Milliseconds until there is room for each of `events` beside what is counted; 0 where there is.
 * @param times 0 where they are among what is counted
 */
export const longestWait = (events: LimitEvent[], counts: Counts, now: number, times: 0 | 1 = 1) =>
  events.reduce((longest, { limit, amount }, at) => {
    const counted = counts[at]
    return counted && counted.count + times * amount > limit.max ? Math.max(longest, counted.endsAt - now) : longest
  }, 0)

/** The same once `events` themselves are among what is counted. */
export const longestWaitAfter = (events: LimitEvent[], counts: Counts, now: number) =>
  longestWait(events, counts, now, 0)

/** Counts the events, or none of them where one has no room: returns those, with how long each has to wait. */
export async function take(counters: Counters, taken: LimitEvent[], now: number) {
  if (taken.length === 0) return []
  const counts = await counters.add(taken, now)
  if (longestWaitAfter(taken, counts, now) === 0) return []
  const full = taken.flatMap((event, at) => {
    const wait = longestWaitAfter([event], counts.slice(at), now)
    return wait > 0 ? [{ limit: event.limit, wait }] : []
  })
  await counters.subtract(taken, now)
  return full
}

/** @param milliseconds 0 refuses nothing */
export function refuseWhile(milliseconds: number, reason: ErrorCode, message?: string) {
  if (milliseconds > 0) throw new Refusal(reason, { retryAfter: Math.ceil(milliseconds / 1000), message })
}
