/** The server and the browser's memory. This file alone knows which home it is in: the extension or the web page. */
import { treaty } from '@elysiajs/eden/treaty2'
import type { ErrorCode } from '../errors.ts'
import type { App } from '../index.ts'
import { isCode } from './code.ts'
import type { Language } from './messages.ts'

export const isExtension = location.protocol.endsWith('-extension:')

/** The server that the extension was built for: `bun run build` writes it here. */
declare const SERVER_URL: string

/** Seconds that a text is kept, until a person chooses. */
export const DEFAULT_EXPIRY = 3600

/** Beyond any answer that is still to come: a password waits for its turn at the server's few hashes. */
const PATIENCE = 30_000

/** Bytes in a millisecond: 128 kbit/s, at which a text still gets through. */
const SLOW_LINE = 16

/** Bytes that a text may have that is yet to come: to give up halfway would lose what is read only once. */
const LARGE_TEXT = 1_048_576

/** A text that was written here. The text itself and its password are never kept. */
export interface Lent {
  code: string
  eraseToken: string
  /** Milliseconds since 1970 on this computer's clock, which on a borrowed computer may be wrong. */
  expiresAt: number
  once: boolean
  hasPassword: boolean
  server: string
}

export interface Loaded {
  code: string
  text: string
  once: boolean
  /** Milliseconds since 1970. */
  expiresAt: number
}

/** The field of a page that waits for a text. */
export interface Field {
  tabId: number
  frameId: number
  /** Milliseconds since 1970. */
  askedAt: number
}

/** What stays until it is removed. */
interface Kept {
  history: Lent[]
  expiresIn: number
  language: Language
  server: string
  /** The write key of each server that wanted one. */
  writeKeys: Record<string, string>
}

/** What a closed popup must not lose: gone with the browser, on the web page with the tab. */
interface Draft {
  tab: 'write' | 'load'
  text: string
  once: boolean
  code: string
  written: Lent
  loaded: Loaded
  field: Field
  hadPassword: boolean
}

interface Memory<Values> {
  get<K extends keyof Values & string>(key: K): Promise<Values[K] | undefined>
  set<K extends keyof Values & string>(key: K, value: Values[K] | undefined): Promise<void>
}

export const kept = isExtension ? extensionMemory<Kept>('local') : pageMemory<Kept>('localStorage')
export const draft = isExtension ? extensionMemory<Draft>('session') : pageMemory<Draft>('sessionStorage')

/** A browser may refuse to remember, in a private window or for want of room: then both homes work without. */
function extensionMemory<Values>(area: 'local' | 'session'): Memory<Values> {
  const storage = chrome.storage[area]
  return {
    get: async (key) => (await storage.get(key))[key] as Values[typeof key] | undefined,
    async set(key, value) {
      try {
        await (value === undefined ? storage.remove(key) : storage.set({ [key]: value }))
      } catch {}
    },
  }
}

function pageMemory<Values>(area: 'localStorage' | 'sessionStorage'): Memory<Values> {
  return {
    async get(key) {
      try {
        return JSON.parse(window[area].getItem(key) ?? 'null') ?? undefined
      } catch {
        return undefined
      }
    },
    async set(key, value) {
      try {
        if (value === undefined) window[area].removeItem(key)
        else window[area].setItem(key, JSON.stringify(value))
      } catch {}
    },
  }
}

export const builtFor = () => (isExtension ? SERVER_URL : location.origin)

export const serverAddress = async () => (isExtension && (await kept.get('server'))) || builtFor()

/** The write key that is remembered for a server: no other is ever sent it. */
export const writeKeyOf = async (server: string) => (await kept.get('writeKeys'))?.[server]

export async function keepWriteKey(server: string, key: string) {
  const { [server]: _, ...others } = (await kept.get('writeKeys')) ?? {}
  await kept.set('writeKeys', key ? { ...others, [server]: key } : others)
}

export const linkOf = ({ server, code }: { server: string; code: string }) => `${server}/#${code}`

/** Why something could not be done: the server's reason, that there was no server to give one, or a failure of this browser. */
export class Problem extends Error {
  /** Whatever was thrown, as a problem. What nobody expected is told to the developer. */
  static of(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown
    console.error(thrown)
    return new Problem('local')
  }

  constructor(
    readonly reason: ErrorCode | 'offline' | 'unreachable' | 'local',
    readonly details: { retryAfter?: number; triesLeft?: number; field?: string } = {},
  ) {
    super(reason)
  }
}

interface Writing {
  text: string
  expiresIn: number
  password?: string
  once: boolean
  /** Typed just now: it is remembered once the server has taken it. */
  writeKey?: string
}

/** What the popup asks of the background, which finishes it though the popup closes; and what comes of it. */
export type Wish = { write: Writing } | { load: { code: string; password?: string } }
export type Outcome = { done: Lent | Loaded } | { problem: Pick<Problem, 'reason' | 'details'> }

/** Stores a text, and remembers its code. Throws a `Problem`, as all three do. */
export const write = isExtension ? (body: Writing) => askBackground<Lent>({ write: body }) : writeHere

/** Reads a text. */
export const load = isExtension
  ? (code: string, password?: string) => askBackground<Loaded>({ load: { code, password } })
  : loadHere

async function askBackground<T extends Lent | Loaded>(wish: Wish): Promise<T> {
  const outcome: Outcome = await chrome.runtime.sendMessage(wish)
  if ('problem' in outcome) throw new Problem(outcome.problem.reason, outcome.problem.details)
  historyChanged.dispatchEvent(new Event('change'))
  return outcome.done as T
}

export async function writeHere({ writeKey, ...body }: Writing): Promise<Lent> {
  const server = await serverAddress()
  const key = writeKey ?? (await writeKeyOf(server)) ?? ''
  // No header can carry any other, and no server has it.
  const headers: Record<string, string> = /^[!-~]+$/.test(key) ? { 'x-write-key': key } : {}
  const { code, eraseToken } = await answerOf(
    call(server).api.write.post(body, { headers, ...request(new Blob([body.text]).size) }),
    ({ code, eraseToken }) => isCode(code) && typeof eraseToken === 'string',
  )
  if (writeKey) await keepWriteKey(server, writeKey)
  const lent = {
    code,
    eraseToken,
    expiresAt: Date.now() + body.expiresIn * 1000,
    once: body.once,
    hasPassword: body.password !== undefined,
    server,
  }
  await changeHistory((lents) => [lent, ...lents])
  return lent
}

export async function loadHere(code: string, password?: string): Promise<Loaded> {
  const server = await serverAddress()
  const { text, once, expiresAt } = await answerOf(
    call(server).api.load.post({ code, password }, request(LARGE_TEXT)),
    ({ text, expiresAt }) => typeof text === 'string' && Date.parse(expiresAt) > 0,
  )
  if (once) await forget({ server, code })
  return { code, text, once, expiresAt: Date.parse(expiresAt) }
}

/** Erases a text; that it is already gone is no problem. */
export async function erase({ server, code, eraseToken }: Lent) {
  try {
    await answerOf(call(server).api.erase.post({ code, eraseToken }, request()), (_, status) => status === 204)
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.reason !== 'not_found') throw problem
  }
  await forget({ server, code })
}

/** What was written here and is not over yet, newest first. */
export async function history(): Promise<Lent[]> {
  const all = (await kept.get('history')) ?? []
  const live = all.filter(isLive)
  if (live.length < all.length) await replaceHistory((lents) => lents)
  return live
}

/** Tells by a `change` that a text was written or erased. */
export const historyChanged = new EventTarget()

const isLive = ({ code, expiresAt }: Lent) => isCode(code) && expiresAt > Date.now()

const forget = ({ server, code }: { server: string; code: string }) =>
  changeHistory((lents) => lents.filter((lent) => lent.code !== code || lent.server !== server))

async function changeHistory(change: (lents: Lent[]) => Lent[]) {
  await replaceHistory(change)
  historyChanged.dispatchEvent(new Event('change'))
}

/** One after another, in all tabs, the popup and the background: each change builds on the one before. */
async function replaceHistory(change: (lents: Lent[]) => Lent[]) {
  const replace = async () => kept.set('history', change(((await kept.get('history')) ?? []).filter(isLive)))
  // Without HTTPS there are no locks, yet the page's memory does both without letting go of its turn.
  if (navigator.locks) await navigator.locks.request('history', replace)
  else await replace()
}

/** Whether an extextcloud server answers at `server`. */
export async function isServer(server: string): Promise<boolean> {
  const { data } = await call(server).health.get(request())
  return typeof data === 'object' && data !== null && 'status' in data && data.status === 'ok'
}

// A text that looks like a date must not become one.
const call = (server: string) => treaty<App>(server, { parseDate: false })

const request = (bytes = 0) => ({ fetch: { signal: AbortSignal.timeout(PATIENCE + bytes / SLOW_LINE) } })

interface Answer<T> {
  data: T | null
  error: { status: unknown; value: unknown } | null
  response: Response | undefined
}

/** The answer, if it is what `isExpected` knows: a network that asks for a login first answers everything, by a page. */
async function answerOf<T>(
  answer: Promise<Answer<T>>,
  isExpected: (data: NonNullable<T>, status?: number) => boolean,
): Promise<T> {
  // What is called JSON and is none, or ends too early, throws.
  const { data, error, response } = await answer.catch(() => UNREADABLE)
  if (!error && isExpected(Object(data), response?.status)) return data as T
  const refusal = (error?.value as Refusal | null | undefined)?.error
  if (!refusal?.code) throw new Problem(navigator.onLine ? 'unreachable' : 'offline')
  throw new Problem(refusal.code, {
    retryAfter: Number(response?.headers.get('retry-after')) || undefined,
    triesLeft: refusal.triesLeft,
    field: refusal.issues?.[0]?.path,
  })
}

const UNREADABLE = { data: null, error: null, response: undefined }

interface Refusal {
  error?: { code?: ErrorCode; triesLeft?: number; issues?: { path: string }[] }
}
