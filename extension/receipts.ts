/** Receipts: asks what has become of the texts of “My texts”, one after another, as long as somebody looks. */
import { askReceipt, history, type Lent, now, Problem } from './api.ts'
import { clockTime, message } from './messages.ts'

/** Milliseconds between two questions, of whatever text, at first: 40 a minute, a third of what a server allows. */
const STEP = 1500
/** How much longer they become where others of the same address ask so much that the server refuses. */
const YIELD = 8
/** Milliseconds between two about the same text, at least. */
const EACH = 2500
/** Milliseconds between two questions while nobody sees the page. */
const UNSEEN = 60_000
/** Milliseconds to leave a text alone whose server does not answer: the others may lie elsewhere. */
const REST = 15_000
/** Milliseconds after a text that the server knows no more: it took the question for a guess, of which a person has few. */
const MISSED = 600_000
/** Milliseconds before its end from which a text is not asked about: by the server's clock it may be over already. */
const ENDING = 10_000

/** When each text was asked about, by its erase token: milliseconds of this page. */
const asked = new Map<string, number>()
let timer: ReturnType<typeof setTimeout> | undefined
let step = STEP
/** When the next question may be asked, in milliseconds of this page. */
let nextAt = 0

/** When a text was loaded last, in words; empty where it was not, as far as is known. */
export const receiptOf = ({ receipt }: Lent) =>
  receipt?.loadedAt === undefined ? '' : message('receiptLoaded', clockTime(receipt.loadedAt))

/** Goes on for as long as the page is open. */
export async function watchReceipts() {
  clearTimeout(timer)
  if (performance.now() >= nextAt) await askNext()
  clearTimeout(timer)
  timer = setTimeout(watchReceipts, document.hidden ? UNSEEN : step)
}

/** Asks about the text that has waited longest. */
async function askNext() {
  const open = (await history()).filter(({ receipt, expiresAt }) => !receipt?.isGone && expiresAt - now() > ENDING)
  const since = ({ eraseToken }: { eraseToken: string }) => asked.get(eraseToken) ?? Number.NEGATIVE_INFINITY
  const [next] = open.sort((one, other) => since(one) - since(other))
  if (!next || performance.now() - since(next) < EACH) return
  asked.set(next.eraseToken, performance.now())
  nextAt = performance.now() + step
  try {
    if (!(await askReceipt(next))) nextAt = performance.now() + MISSED
  } catch (thrown) {
    const { reason, details } = Problem.of(thrown)
    if (reason === 'too_many_requests') step = Math.min(YIELD * step, UNSEEN)
    asked.set(next.eraseToken, performance.now() + REST)
    if (details.retryAfter) nextAt = performance.now() + details.retryAfter * 1000
  }
}

document.addEventListener('visibilitychange', () => document.hidden || watchReceipts())
