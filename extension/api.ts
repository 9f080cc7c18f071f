/** The server and the browser's memory. This file alone knows which home it is in: the extension or the web page. */
import { treaty } from '@elysiajs/eden/treaty2'
import type { ErrorCode } from '../errors.ts'
import type { App } from '../index.ts'
import { isCode } from './code.ts'
import type { Language } from './languages.ts'
import type { SealError, SealReason } from './pack.ts'

export const isExtension = location.protocol.endsWith('-extension:')

/** Whether what is open is a small popup. Firefox for Android, which has no windows, fills the screen with it. */
export const isPopup = isExtension && 'windows' in chrome

/** What `build.ts` writes here: which build this is, and the server that the extension was made for. Of what the page's build cannot need it keeps nothing. */
declare const BROWSER: 'chromium' | 'firefox' | 'page'
declare const SERVER_URL: string

/** Whether this browser can seal and open texts here: on plain http beyond localhost, none can. */
export const canSeal = () =>
  'subtle' in crypto && typeof WebAssembly === 'object' && typeof CompressionStream === 'function'

/** Sealing, which the page fetches with the first password. The extension has it inside: its background may fetch nothing late. */
export const sealing = (): Promise<typeof import('./seal.ts')> =>
  BROWSER === 'page' ? import(SEALING) : import('./seal.ts')
const SEALING = '/assets/seal.js'

/** The same, for what is sealed to a receiver. */
export const hpke = (): Promise<typeof import('./hpke.ts')> => (BROWSER === 'page' ? import(HPKE) : import('./hpke.ts'))
const HPKE = '/assets/hpke.js'

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
  /** Milliseconds since 1970 by the server's clock. */
  expiresAt: number
  /** The same, and bytes: what tells one from another. Missing in lists of earlier versions. */
  writtenAt?: number
  size?: number
  once: boolean
  hasPassword: boolean
  /** Whether nobody but the password opens it. Missing in lists of earlier versions. */
  isSealed?: boolean
  /** Whether it was written to somebody who waited under the code, and alone may read it. */
  isAddressed?: boolean
  /** What was last heard of it, if it was loaded or is gone. */
  receipt?: Receipt
  server: string
}

export interface Receipt {
  /** Milliseconds since 1970 by the server's clock. */
  loadedAt?: number
  isGone: boolean
}

export interface Loaded {
  code: string
  text: string
  once: boolean
  /** Milliseconds since 1970 by the server's clock. */
  expiresAt: number
  /** Whether it was given without any password. */
  isOpen?: boolean
  /** Of a text that was waited for: whether nobody between could read it. */
  received?: 'sealed' | 'plain'
}

/** The code under which this browser waits for a text. */
export interface Waiting {
  code: string
  receiveToken: string
  /** Missing where it waits without a key: what comes is not sealed then. */
  publicKey?: string
  /** Milliseconds since 1970 by the server's clock. */
  expiresAt: number
  server: string
}

/** The field of a page that waits for a text. */
export interface Field {
  tabId: number
  frameId: number
  /** Milliseconds since 1970. */
  askedAt: number
  /** Whether the browser lets no extension into its page or frame. */
  isClosed?: boolean
  /** Whether it is to be filled with what somebody else writes. */
  isReceiving?: boolean
}

/** What stays until it is removed. */
interface Kept {
  history: Lent[]
  /** Seconds that a text is kept unless a person chooses otherwise for it. */
  expiresIn: number
  language: Language
  server: string
  /** Milliseconds that the server's clock is before this computer's. */
  ahead: number
  /** Until when the last receiver waits who has a key, in milliseconds since 1970 by the server's clock. */
  keysUntil: number
  /** The write key of each server that wanted one. */
  writeKeys: Record<string, string>
}

/** What a closed popup must not lose: gone with the browser, on the web page with the tab. */
interface Draft {
  tab: 'write' | 'load'
  text: string
  seconds: number
  once: boolean
  code: string
  written: Lent
  /** What a selection that was sent may have lost: the key of the message that tells it. */
  lack: 'sentFlat' | 'sentPart'
  loaded: Loaded
  waiting: Waiting
  /** The code to which the text is to be written. */
  to: string
  field: Field
  hadPassword: boolean
}

interface Memory<Values> {
  get<K extends keyof Values & string>(key: K): Promise<Values[K] | undefined>
  set<K extends keyof Values & string>(key: K, value: Values[K] | undefined): Promise<void>
}

export interface Memories {
  kept: Memory<Kept>
  draft: Memory<Draft>
}

/** Whether this popup is that of a private window. The browser itself forgets what a page kept there. */
export const isPrivate = isExtension && location.pathname === '/popup.html' ? isPrivateHere() : Promise.resolve(false)

async function isPrivateHere() {
  // What Firefox for Android knows, Chromium does not: there one extension serves both kinds of windows.
  return isPopup ? (await chrome.windows.getCurrent()).incognito : chrome.extension.inIncognitoContext
}

export const { kept, draft } = BROWSER === 'page' ? pageMemories() : memoriesOf(isPrivate)

/** Those of private windows, for the background, which works for both kinds. */
export const privateMemories = () => memoriesOf(Promise.resolve(true))

function memoriesOf(isPrivate: Promise<boolean>): Memories {
  return { kept: extensionMemory('local', isPrivate), draft: extensionMemory('session', isPrivate) }
}

function pageMemories(): Memories {
  return { kept: pageMemory('localStorage'), draft: pageMemory('sessionStorage') }
}

/** What does not tell what a person wrote or read: the same in private windows. */
const SHARED = ['language', 'server', 'expiresIn', 'ahead', 'tab', 'field']
const PRIVATE = 'private:'

/** A browser may refuse to remember, for want of room: then both homes work without. Of private windows nothing reaches the disk. */
function extensionMemory<Values>(area: 'local' | 'session', isPrivate: Promise<boolean>): Memory<Values> {
  const placeOf = async (key: string) =>
    !SHARED.includes(key) && (await isPrivate)
      ? ([chrome.storage.session, PRIVATE + key] as const)
      : ([chrome.storage[area], key] as const)
  return {
    async get(key) {
      const [storage, name] = await placeOf(key)
      return (await storage.get(name))[name] as Values[typeof key] | undefined
    },
    async set(key, value) {
      const [storage, name] = await placeOf(key)
      try {
        await (value === undefined ? storage.remove(name) : storage.set({ [name]: value }))
      } catch {}
    },
  }
}

/** For when the last private window has closed. */
export async function forgetPrivate() {
  const names = Object.keys(await chrome.storage.session.get(null))
  await chrome.storage.session.remove(names.filter((name) => name.startsWith(PRIVATE)))
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

/** The link that opens Write, addressed to whoever waits under the code. */
export const linkTo = ({ server, code }: { server: string; code: string }) => `${server}/#>${code}`

type SealProblem = `seal_${SealReason}` | 'seal_insecure' | 'seal_received'

/** Why something could not be done: the server's reason, that there was no server to give one, or a failure of this browser. */
export class Problem extends Error {
  /** Whatever was thrown, as a problem. What nobody expected is told to the developer. */
  static of(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown
    console.error(thrown)
    return new Problem('local')
  }

  constructor(
    readonly reason: ErrorCode | 'offline' | 'unreachable' | 'local' | 'not_sealed' | 'nobody_waits' | SealProblem,
    readonly details: {
      retryAfter?: number
      triesLeft?: number
      field?: string
      seal?: string
      publicKey?: string
    } = {},
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
  /** The code under which somebody waits for it, and the key that it is sealed to. */
  to?: string
  publicKey?: string
}

interface Loading {
  code: string
  password?: string
  /** Whether the person knows that the server will see the password. */
  isUnsealedKnown?: boolean
  /** False leaves a text that can be read only once, which is then the problem `only_once`. */
  take?: boolean
}

/** What the popup asks of the background, which finishes it though the popup closes; and what comes of it. */
export type Wish =
  | { write: Writing }
  | { load: Loading }
  | { send: { tabId: number; isPrivate: boolean } }
  | { wait: true }
export type Outcome = { done: Lent | Loaded } | { problem: Pick<Problem, 'reason' | 'details'> }

/** Stores a text, and remembers its code. Throws a `Problem`, as all three do. */
export const write = async (body: Writing) =>
  (await hasBackground()) ? askBackground<Lent>({ write: body }) : writeHere(body)

/** Reads a text. */
export async function load(body: Loading): Promise<Loaded> {
  if (await hasBackground()) return askBackground<Loaded>({ load: body })
  const loaded = await loadHere(body)
  // The web page, whose computer may be borrowed, keeps it nowhere.
  if (isExtension) await draft.set('loaded', loaded)
  return loaded
}

/** Writes what is selected in the page in a tab. */
export const sendSelection = async (tabId: number) =>
  askBackground<Lent>({ send: { tabId, isPrivate: await isPrivate } })

/** Private windows do without, since the background remembers what it has done. */
export const hasBackground = async () => isExtension && !(await isPrivate)

async function askBackground<T extends Lent | Loaded>(wish: Wish): Promise<T> {
  const outcome: Outcome = await chrome.runtime.sendMessage(wish)
  if ('problem' in outcome) throw new Problem(outcome.problem.reason, outcome.problem.details)
  historyChanged.dispatchEvent(new Event('change'))
  return outcome.done as T
}

export async function writeHere({ writeKey, to, publicKey, ...body }: Writing, memory = kept): Promise<Lent> {
  const server = await serverAddress()
  const size = new Blob([body.text]).size
  const sealed = await sealedOf({ ...body, to, publicKey })
  const { code, eraseToken, expiresAt } = await answerOf(
    call(server).api.write.post(sealed ?? (to ? { to, text: body.text } : body), {
      headers: await writeHeaders(server, writeKey),
      ...request(size),
    }),
    ({ code, eraseToken, expiresAt }) => isCode(code) && typeof eraseToken === 'string' && Date.parse(expiresAt) > 0,
  ).catch((problem: Problem) => {
    throw to && problem.reason === 'not_found' ? new Problem('nobody_waits') : problem
  })
  if (writeKey) await keepWriteKey(server, writeKey)
  const lent = {
    code,
    eraseToken,
    expiresAt: Date.parse(expiresAt),
    writtenAt: to ? now() : Date.parse(expiresAt) - body.expiresIn * 1000,
    size,
    once: body.once,
    hasPassword: body.password !== undefined,
    isSealed: sealed !== undefined,
    isAddressed: to !== undefined,
    server,
  }
  await changeHistory((lents) => [lent, ...lents], memory)
  return lent
}

/** What lets write on a server that wants a key. */
export async function writeHeaders(server: string, typed?: string): Promise<Record<string, string>> {
  const key = typed ?? (await writeKeyOf(server)) ?? ''
  // No header can carry any other, and no server has it.
  return /^[!-~]+$/.test(key) ? { 'x-write-key': key } : {}
}

/** The text as it is sent, sealed; undefined where it cannot be, or nothing asks for it. */
async function sealedOf({ text, expiresIn, once, password, to, publicKey }: Omit<Writing, 'writeKey'>) {
  if (to) {
    if (!publicKey) return undefined
    const { sealTo } = await hpke().catch(refuse)
    // A server with write keys looks for the address at the beginning.
    return { to, ...(await sealTo(publicKey, to, text).catch(refuse)) }
  }
  if (password === undefined || !canSeal()) return undefined
  const { auth, ...sealed } = await sealing()
    .then(({ seal }) => seal(text, password, once))
    .catch(refuse)
  return { ...sealed, password: auth, expiresIn, once }
}

/** The seal that was heard of last, and of which text, so that another password need not ask for it again. */
let heard: { place: string; seal: string; text?: undefined } = { place: '', seal: '' }

/** The password itself is sent to no text that is sealed, and to no other before the person knows that it will be. */
export async function loadHere({ code, password, take, isUnsealedKnown }: Loading): Promise<Loaded> {
  const server = await serverAddress()
  const ask = (password?: string) =>
    answerOf(
      call(server).api.load.post({ code, password, take }, request(LARGE_TEXT)),
      ({ text, expiresAt }) => typeof text === 'string' && Date.parse(expiresAt) > 0,
    )
  const plain = async ({ text, seal, ...answer }: Awaited<ReturnType<typeof ask>>) => {
    if (seal !== undefined) throw new Problem('seal_tampered')
    return loaded(server, code, text, answer)
  }
  const place = `${server}/${code}`
  const isHeard = password !== undefined && heard.place === place
  const first = isHeard ? heard : await ask().catch(sealOf)
  if (first.text !== undefined) return { ...(await plain(first)), isOpen: true }
  const { seal } = first
  if (seal === undefined) {
    if (password === undefined || !isUnsealedKnown) throw new Problem('not_sealed')
    return plain(await ask(password))
  }
  if (!canSeal()) throw new Problem('seal_insecure')
  heard = { place, seal }
  if (password === undefined) throw new Problem('password_required', { seal })
  const { unlock } = await sealing().catch(refuse)
  const { auth, open } = await unlock(password, seal).catch(refuse)
  const answer = await ask(auth).catch((problem: Problem) => {
    // Under the code is another text by now, whose password was not tried.
    const isOther = isHeard && problem.reason === 'wrong_password' && problem.details.seal !== seal
    if (!isOther) throw problem
    heard = { place: '', seal: '' }
  })
  if (!answer) return loadHere({ code, password, take, isUnsealedKnown })
  if (answer.seal !== seal) throw new Problem('seal_tampered')
  return loaded(server, code, await open(answer.text, answer.once).catch(refuse), answer)
}

/** What is told of a text for want of its password: its seal, if it has one. Whatever else was thrown is thrown on. */
function sealOf(problem: unknown): { seal?: string; text?: undefined } {
  if (problem instanceof Problem && problem.reason === 'password_required') return { seal: problem.details.seal }
  throw problem
}

async function loaded(
  server: string,
  code: string,
  text: string,
  { once, expiresAt }: { once: boolean; expiresAt: string },
) {
  if (once) await hear((lent) => isSame(lent, { server, code }), { loadedAt: now(), isGone: true })
  return { code, text, once, expiresAt: Date.parse(expiresAt) }
}

/** An error that gives no reason is that of sealing's own file, which could not be fetched. */
function refuse(error: SealError | TypeError): never {
  throw new Problem(`seal_${'reason' in error ? error.reason : 'unavailable'}`)
}

/** Erases a text; that it is already gone is no problem. */
export async function erase({ server, code, eraseToken }: Lent) {
  const listed = (await history()).find((lent) => lent.eraseToken === eraseToken)
  try {
    if (!listed?.receipt?.isGone)
      await answerOf(call(server).api.erase.post({ code, eraseToken }, request()), (_, status) => status === 204)
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.reason !== 'not_found') throw problem
  }
  await forget({ server, code })
}

/** Asks what has become of a text, and remembers it; returns whether the server knows it. Throws a `Problem`. */
export async function askReceipt({ server, code, eraseToken, receipt }: Lent): Promise<boolean> {
  const { state, lastLoadedAt } = await answerOf(
    call(server).api.status.post({ code, eraseToken }, request()),
    ({ state }) => typeof state === 'string',
  ).catch((problem: Problem) => {
    if (problem.reason !== 'not_found') throw problem
    return { state: undefined, lastLoadedAt: undefined }
  })
  const isKnown = state !== undefined
  const heard = {
    loadedAt: lastLoadedAt === undefined ? receipt?.loadedAt : Date.parse(lastLoadedAt),
    isGone: !isKnown || state === 'gone',
  }
  if (state === 'waiting' || (heard.isGone === receipt?.isGone && heard.loadedAt === receipt.loadedAt)) return isKnown
  await hear((lent) => lent.eraseToken === eraseToken, heard)
  return isKnown
}

/** Remembers what has become of a text. */
const hear = (isMeant: (lent: Lent) => boolean, receipt: Receipt) =>
  changeHistory((lents) => lents.map((lent) => (isMeant(lent) ? { ...lent, receipt } : lent)))

/** What was written here and is not over yet, newest first. */
export async function history(): Promise<Lent[]> {
  ahead = (await kept.get('ahead')) ?? ahead
  const all = ((await kept.get('history')) ?? []).filter(({ code }) => isCode(code))
  const over: string[] = []
  for (const lent of all) if (await isOver(lent)) over.push(lent.eraseToken)
  const isLive = ({ eraseToken }: Lent) => !over.includes(eraseToken)
  if (over.length > 0) await replaceHistory((lents) => lents.filter(isLive))
  return all.filter(isLive)
}

/** Tells by a `change` that a text was written or erased. */
export const historyChanged = new EventTarget()

interface Place {
  server: string
  code: string
}

const isSame = (one: Place, other: Place) => one.code === other.code && one.server === other.server

const forget = (place: Place) => changeHistory((lents) => lents.filter((lent) => !isSame(lent, place)))

async function changeHistory(change: (lents: Lent[]) => Lent[], memory = kept) {
  await replaceHistory(change, memory)
  historyChanged.dispatchEvent(new Event('change'))
}

/** One after another, in all tabs, the popup and the background: each change builds on the one before. */
async function replaceHistory(change: (lents: Lent[]) => Lent[], memory = kept) {
  const replace = async () => memory.set('history', change((await memory.get('history')) ?? []))
  // Without HTTPS there are no locks, yet the page's memory does both without letting go of its turn.
  if (navigator.locks) await navigator.locks.request('history', replace)
  else await replace()
}

let ahead = 0

/** Milliseconds since 1970 by the server's clock, as far as it was heard: this computer's own may be wrong. */
export const now = () => Date.now() + ahead

/** Milliseconds by which the server's clock and this one's differ in any case: an answer tells whole seconds, and takes a while. */
const INEXACT = 5000

/** What changes when this computer's clock is put forward or back, and with nothing else. */
const clockEpoch = () => Date.now() - performance.now()

/** That of the moment when the server's time was last heard. */
let heardEpoch = Number.NaN
const isTimeKnown = () => Math.abs(clockEpoch() - heardEpoch) < INEXACT

function hearTime(response: Response) {
  const heard = Date.parse(response.headers.get('date') ?? '') - Date.now()
  heardEpoch = clockEpoch()
  if (!(Math.abs(heard - ahead) > INEXACT)) return
  ahead = heard
  void kept.set('ahead', ahead)
}

/** When the server was last asked for its time in vain. */
let unansweredAt = Number.NEGATIVE_INFINITY

/** Whether the time of a text is up, which nobody but the server knows: what only this computer's clock says is not believed. */
export async function isOver({ expiresAt, server }: { expiresAt: number; server?: string }): Promise<boolean> {
  if (expiresAt > now()) return false
  if (!isTimeKnown() && performance.now() - unansweredAt > PATIENCE) {
    const { response } = await call(server ?? (await serverAddress()))
      .health.get(request())
      .catch(() => UNREADABLE)
    if (response?.ok) hearTime(response)
    else unansweredAt = performance.now()
  }
  return isTimeKnown() && expiresAt <= now()
}

/** The keys that open the popup: empty where a person took them away, undefined on a phone, which has none. */
export async function shortcutOf(): Promise<string | undefined> {
  const commands = await chrome.commands?.getAll()
  return commands?.find(({ name }) => name === '_execute_action')?.shortcut
}

/** Whether an extextcloud server answers at `server`. */
export async function isServer(server: string): Promise<boolean> {
  const { data } = await call(server).health.get(request())
  return typeof data === 'object' && data !== null && 'status' in data && data.status === 'ok'
}

// A text that looks like a date must not become one.
export const call = (server: string) => treaty<App>(server, { parseDate: false })

export const request = (bytes = 0) => ({ fetch: { signal: AbortSignal.timeout(PATIENCE + bytes / SLOW_LINE) } })

interface Answer<T> {
  data: T | null
  error: { status: unknown; value: unknown } | null
  response: Response | undefined
}

/** The answer, if it is what `isExpected` knows: a network that asks for a login first answers everything, by a page. */
export async function answerOf<T>(
  answer: Promise<Answer<T>>,
  isExpected: (data: NonNullable<T>, status?: number) => boolean,
): Promise<T> {
  // What is called JSON and is none, or ends too early, throws.
  const { data, error, response } = await answer.catch(() => UNREADABLE)
  if (response) hearTime(response)
  if (!error && isExpected(Object(data), response?.status)) return data as T
  const refusal = (error?.value as Refusal | null | undefined)?.error
  if (!refusal?.code) throw new Problem(navigator.onLine ? 'unreachable' : 'offline')
  throw new Problem(refusal.code, {
    retryAfter: Number(response?.headers.get('retry-after')) || undefined,
    triesLeft: refusal.triesLeft,
    seal: refusal.seal,
    publicKey: refusal.publicKey,
    field: refusal.issues?.[0]?.path,
  })
}

const UNREADABLE = { data: null, error: null, response: undefined }

interface Refusal {
  error?: { code?: ErrorCode; triesLeft?: number; seal?: string; publicKey?: string; issues?: { path: string }[] }
}
