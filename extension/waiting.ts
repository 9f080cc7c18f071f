/** Waiting for a text that somebody else writes, whatever sleeps, is closed or is cut off meanwhile. */
import {
  answerOf,
  call,
  canSeal,
  draft,
  hasBackground,
  hpke,
  isExtension,
  isOver,
  keepWriteKey,
  type Loaded,
  now,
  type Outcome,
  Problem,
  request,
  serverAddress,
  type Waiting,
  writeHeaders,
} from './api.ts'
import { isCode } from './code.ts'
import { forgetKeys, keepKeys, keysOf } from './key-store.ts'

/** Which build this is: `build.ts` writes it here. */
declare const BROWSER: 'chromium' | 'firefox' | 'page'

/** Milliseconds after a question that came to nothing, at first and at most. */
const SOON = 1000
const LATE = 15_000

/** Milliseconds that a server holds a question at least, unless many pages ask the same, such as the copies of a tab. */
const HELD = 15_000

/** Milliseconds for an answer that is long in coming, and then long itself. */
const LONGEST = 90_000

/** Milliseconds between two signs of life for the background. */
const AWAKE = 20_000

/** What the background says to a popup that waits for it. */
export interface Arrival {
  received: string
  outcome?: Outcome
}

/** Takes a code to wait under. Throws a `Problem`. */
export async function takeCode(writeKey?: string): Promise<Waiting> {
  const server = await serverAddress()
  const receiver = canSeal() ? await newReceiver() : undefined
  const publicKey = receiver?.publicKey
  const { code, receiveToken, expiresAt } = await answerOf(
    call(server).api.receive.post({ publicKey }, { headers: await writeHeaders(server, writeKey), ...request() }),
    ({ code, receiveToken, expiresAt }) =>
      isCode(code) && typeof receiveToken === 'string' && Date.parse(expiresAt) > 0,
  )
  if (writeKey) await keepWriteKey(server, writeKey)
  const waiting = { code, receiveToken, publicKey, expiresAt: Date.parse(expiresAt), server }
  if (receiver) await keepKeys(waiting, receiver.keys)
  await draft.set('waiting', waiting)
  return waiting
}

const sealing = () =>
  hpke().catch(() => {
    throw new Problem('unreachable')
  })

/** Undefined in a browser that lacks X25519. */
async function newReceiver() {
  const { newReceiver } = await sealing()
  return newReceiver().catch(() => undefined)
}

/** The key of whoever waits under `code`; undefined where it waits without one, or this browser has none to seal with. Throws a `Problem`. */
export async function receiverOf(code: string): Promise<string | undefined> {
  try {
    // A text that lies there is not given: its writer would be told that it was loaded.
    await answerOf(call(await serverAddress()).api.load.post({ code, waiting: true }, request()), () => false)
  } catch (problem) {
    const { reason, details } = Problem.of(problem)
    if (reason === 'receiving') return canSeal() && (await newReceiver()) ? details.publicKey : undefined
    throw reason === 'not_found' ? new Problem('nobody_waits') : problem
  }
}

/** The text, once there is one; undefined where the time is up. In the extension its background waits, also for a popup that closes. Throws a `Problem`. */
export const receive = async (waiting: Waiting, signal: AbortSignal) =>
  BROWSER !== 'page' && (await hasBackground()) ? hearBackground(waiting, signal) : receiveHere(waiting, signal)

/** The same here. The server is told, and forgets what came. */
export async function receiveHere(waiting: Waiting, signal: AbortSignal): Promise<Loaded | undefined> {
  try {
    const loaded = await askUntilThere(waiting, signal)
    if (signal.aborted) return undefined
    // The web page, whose computer may be borrowed, keeps it nowhere.
    if (loaded && isExtension) await draft.set('loaded', loaded)
    await forgetWaiting(waiting)
    if (loaded) void endWaiting(waiting)
    return loaded
  } catch (problem) {
    await stopWaiting(waiting)
    throw problem
  }
}

/** For when the text is wanted no more. */
export async function stopWaiting(waiting: Waiting) {
  await forgetWaiting(waiting)
  await endWaiting(waiting)
}

async function forgetWaiting(waiting: Waiting) {
  await draft.set('waiting', undefined)
  await forgetKeys(waiting)
}

async function endWaiting({ server, code, receiveToken }: Waiting) {
  const done = call(server).api.receive.wait.post({ code, receiveToken, done: true }, request())
  // In ten minutes it is gone in any case.
  await answerOf(done, (_, status) => status === 204).catch(() => {})
}

async function askUntilThere(waiting: Waiting, signal: AbortSignal): Promise<Loaded | undefined> {
  let pause = SOON
  while (!signal.aborted && !(await isOver(waiting))) {
    const askedAt = performance.now()
    let wait = 0
    try {
      const answer = await ask(waiting, signal)
      if (!answer) continue
      if (answer.text !== undefined) return await opened(waiting, answer.text, answer.seal)
    } catch (thrown) {
      if (signal.aborted) break
      const { reason, details } = Problem.of(thrown)
      if (reason === 'not_found') break
      if (reason === 'seal_received') throw thrown
      wait = Math.min((details.retryAfter ?? 0) * 1000, LONGEST)
    }
    if (performance.now() - askedAt > HELD) pause = SOON
    await woken(Math.max(wait, pause), signal)
    pause = Math.min(2 * pause, LATE)
  }
  return undefined
}

/** Without a text where there is none yet; undefined where it is better to ask anew, at once. */
async function ask({ server, code, receiveToken, expiresAt }: Waiting, signal: AbortSignal) {
  const attempt = new AbortController()
  const stop = () => attempt.abort()
  signal.addEventListener('abort', stop)
  try {
    const answer: Promise<{ text?: string; seal?: string }> = answerOf(
      call(server).api.receive.wait.post({ code, receiveToken }, { fetch: { signal: attempt.signal } }),
      (answer, status) => status === 204 || ('text' in answer && typeof answer.text === 'string'),
    ).then((answer) => answer || {})
    const patience = Math.max(LATE, Math.min(LONGEST, expiresAt - now()))
    return (await Promise.race([answer, woken(patience, attempt.signal)])) || undefined
  } finally {
    signal.removeEventListener('abort', stop)
    attempt.abort()
  }
}

async function opened(waiting: Waiting, text: string, seal?: string): Promise<Loaded> {
  const { code, expiresAt } = waiting
  const loaded = { code, once: true, expiresAt }
  if (seal === undefined) return { ...loaded, text, received: 'plain' }
  const { openReceived } = await sealing()
  const keys = await keysOf(waiting)
  try {
    if (!keys) throw new Problem('seal_received')
    return { ...loaded, text: await openReceived(keys, code, text, seal), received: 'sealed' }
  } catch {
    throw new Problem('seal_received')
  }
}

/** After so many milliseconds, or as soon as the network is back, the page is seen again, or `signal` says so. */
const woken = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    const wake = () => {
      clearTimeout(timer)
      resolve()
    }
    signal.addEventListener('abort', wake)
    addEventListener('online', wake, { signal })
    globalThis.document?.addEventListener('visibilitychange', () => document.hidden || wake(), { signal })
  })

/** What the background says that has come. Asked again and again, it neither falls asleep nor forgets. */
function hearBackground({ code }: Waiting, signal: AbortSignal): Promise<Loaded | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Loaded | undefined>()
  const hear = (message: Partial<Arrival>, _sender: unknown, answer: (isHeard: boolean) => void) => {
    if (message.received !== code) return
    answer(true)
    const { outcome } = message
    if (outcome && 'problem' in outcome) reject(new Problem(outcome.problem.reason, outcome.problem.details))
    else resolve(outcome?.done as Loaded | undefined)
  }
  const ask = async () => {
    const isWaiting = await chrome.runtime.sendMessage({ wait: true }).catch(() => true)
    if (isWaiting) return
    // It came while nobody listened.
    const loaded = await draft.get('loaded')
    resolve(loaded?.code === code ? loaded : undefined)
  }
  const timer = setInterval(ask, AWAKE)
  chrome.runtime.onMessage.addListener(hear)
  signal.addEventListener('abort', () => resolve(undefined))
  void ask()
  return promise.finally(() => {
    clearInterval(timer)
    chrome.runtime.onMessage.removeListener(hear)
  })
}
