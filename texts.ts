/** Writing, loading, erasing and receiving as every route does it: the limits are asked, passwords and tokens hashed, the store called. */
import { hash } from 'node:crypto'
import { writerOf } from './client.ts'
import type { LentText, Receipt, Store } from './db/store.ts'
import { invalid, Refusal, tooLarge } from './errors.ts'
import type { Guard } from './guard.ts'
import { AUTH, hashAuth, hashPassword, verifyAuth, verifyPassword } from './password.ts'
import type { Settings } from './settings.ts'
import type { Waiting } from './waiting.ts'

/** Milliseconds in which it is heard that a client has gone, before it takes a text that can be read only once. */
const HEARING = 5

interface NewText {
  text: string
  /** Whole seconds. */
  expiresIn?: number
  password?: string
  once?: boolean
  /** How the writer's browser sealed the text: it is then base64url, and the password what was derived for us. */
  seal?: string
  /** The code under which somebody waits for the text, and who says how long it lives. */
  to?: string
}

/** A code that waits for a text, or has it and keeps it for who waited. */
interface Awaited {
  code: string
  receiveToken: string
}

interface Loading {
  code: string
  password?: string
  /** The refusal of a text that can be read only once, where this load is not to take it. */
  keepOnce?: 'use_post' | 'only_once'
  /** Whether this asks for nothing but who waits for a text. */
  waiting?: boolean
  /** The refusal of a sealed text, where whoever asks could not open it. */
  sealed?: () => Refusal
  request: Request
}

/** A text sealed with the key of whoever waits for it, and with nothing else. */
const SEALED_TO_KEY = /^1\.hpke\./

const NOBODY_WAITS =
  'Nobody waits for a text under this code any more: it came already, the time is over, or the code is mistyped.'

/** 128 random bits. */
const newToken = () => crypto.getRandomValues(Buffer.alloc(16)).toString('base64url')

const sha256 = (token: string) => hash('sha256', token, 'buffer')

export type Texts = ReturnType<typeof createTexts>

/** Base64url of a text that was padded, by an eighth at most; and what sealing adds to the smallest. */
const SEALED_SHARE = 1.5
const SEALED_BYTES = 200

/** What can be done with texts. Each operation is asked by a `client`, as `clientOf` names it, and throws the refusals of `errors.ts`. */
export function createTexts(store: Store, guard: Guard, settings: Settings, waiting: Waiting, now: () => number) {
  const { MAX_TEXT_BYTES, MAX_STORED_BYTES, WRITE_BYTES_PER_DAY } = settings
  /** What is larger can never be stored, so its writer is not told to wait. */
  const mostEver = Math.min(MAX_STORED_BYTES, WRITE_BYTES_PER_DAY || Number.POSITIVE_INFINITY)
  const maxBytes = Math.min(MAX_TEXT_BYTES, mostEver)
  const maxSealedBytes = Math.min(SEALED_SHARE * MAX_TEXT_BYTES + SEALED_BYTES, mostEver)

  async function look(client: string, code: string, message?: string): Promise<LentText> {
    const found = await store.load(code, now())
    if (!found) throw await guard.miss(client, code, message)
    return found
  }

  /** The look-ups of a client that are under way, where they may end in another order than they began. */
  const underWay = new Map<string, Promise<unknown>>()

  async function lookInTurn(client: string, code: string, message?: string): Promise<LentText> {
    const looking = look(client, code, message)
    const earlier = underWay.get(client)
    const all = Promise.allSettled([earlier, looking]).then(() => {
      if (underWay.get(client) === all) underWay.delete(client)
    })
    underWay.set(client, all)
    const found = await looking
    await earlier // All guesses before this one are counted by then.
    return found
  }

  async function find(client: string, code: string, message?: string): Promise<LentText> {
    guard.refuseLookUp(client)
    const found = await (store.counters ? lookInTurn : look)(client, code, message)
    await guard.admitLookUp(client) // Again, since a burst of guesses was admitted as a whole.
    return found
  }

  /** Fills in the text that somebody waits for under `code`. Returns when it expires; throws where nobody waits. */
  async function fill(client: string, code: string, body: string, eraseToken: string, seal: string | null) {
    const { receiveTokenHash, body: filled, expiresAt } = await find(client, code, NOBODY_WAITS)
    const isWaited = receiveTokenHash !== null && filled === ''
    const added = { body, seal, eraseTokenHash: sha256(eraseToken), writer: writerOf(client) }
    if (!isWaited || !(await store.fill(code, added, now()))) throw await guard.miss(client, code, NOBODY_WAITS)
    waiting.wake(code)
    await guard.forgive(client, code, true)
    return expiresAt
  }

  /** Takes a code to wait under for a text, which is given to the receive token alone. */
  async function receive(client: string, publicKey: string | null) {
    await guard.admitWrite(client, 0)
    const expiresAt = await guard.admitReceiving(client)
    try {
      const receiveToken = newToken()
      const receiveTokenHash = sha256(receiveToken)
      const kept = { receiveTokenHash, publicKey, eraseTokenHash: receiveTokenHash, expiresAt }
      const empty = { body: '', passwordHash: null, seal: null, once: false, writer: writerOf(client) }
      const code = await store.write({ ...empty, ...kept }, now())
      return { code, receiveToken, expiresAt }
    } catch (error) {
      await guard.endReceiving(client, expiresAt).catch(() => {})
      throw error
    }
  }

  /** The text that came under a code, as often as it is asked for; undefined where none has come after a while, or `signal` says that the client has gone. */
  async function wait(client: string, { code, receiveToken }: Awaited, signal: AbortSignal) {
    const receiveTokenHash = sha256(receiveToken)
    const isMine = (found: LentText | undefined) => found?.receiveTokenHash?.equals(receiveTokenHash) === true
    let found = await store.load(code, now())
    // Who has the token does not guess: a locked client is given what it waits for.
    if (!found || !isMine(found)) {
      guard.refuseLookUp(client)
      throw await guard.miss(client, code)
    }
    if (found.body === '') {
      const look = async () => {
        found = await store.load(code, now())
        return !isMine(found) || found?.body !== ''
      }
      await waiting.until(code, found.expiresAt - now(), signal, look)
      if (signal.aborted) return
      await look()
    }
    if (!found || !isMine(found) || found.body === '') return
    store.countLoad(found, now())
    return { text: found.body, seal: found.seal ?? undefined }
  }

  /** Ends the waiting under a code, and deletes the text that came. That there is none is no error, nor does it tell anything. */
  async function endWaiting(client: string, { code, receiveToken }: Awaited) {
    const receiveTokenHash = sha256(receiveToken)
    const found = await store.load(code, now())
    if (!found?.receiveTokenHash?.equals(receiveTokenHash)) return
    if (await store.erase(code, receiveTokenHash, now())) await guard.endReceiving(client, found.expiresAt)
    waiting.wake(code)
  }

  /**
   * The code at once, and the text when it is there, after which it is gone. Returns `all` once both were taken, nothing
   * where no text came.
   */
  async function* receiveHere(client: string, signal: AbortSignal): AsyncGenerator<string, 'all' | undefined> {
    const lent = await receive(client, null)
    try {
      yield `${lent.code}\n`
      while (now() < lent.expiresAt && !waiting.isOver && !signal.aborted) {
        const received = await wait(client, lent, signal)
        if (!received) continue
        yield received.text
        return 'all'
      }
    } finally {
      await endWaiting(client, lent)
    }
  }

  return {
    async write(
      client: string,
      { text, expiresIn = settings.DEFAULT_EXPIRY_SECONDS, password, once = false, seal, to }: NewText,
    ) {
      const size = Buffer.byteLength(text)
      if (size > (seal === undefined ? maxBytes : maxSealedBytes)) throw tooLarge(maxBytes)
      if (size === 0) throw invalid('text', 'The text is empty.')
      if (!text.isWellFormed()) throw invalid('text', 'The text is not well-formed Unicode.')
      if (seal !== undefined && /[^\w-]/.test(text)) throw invalid('text', 'A sealed text is base64url.')
      const isSealedToKey = seal !== undefined && SEALED_TO_KEY.test(seal)
      if (isSealedToKey && to === undefined) throw invalid('to', 'With such a seal it must say who waits for the text.')
      if (to !== undefined && password !== undefined) {
        throw invalid('password', 'A text for whoever waits under a code has none: nobody else is given it.')
      }
      if (seal !== undefined && !isSealedToKey && !AUTH.test(password ?? '')) {
        throw invalid('password', 'With a seal it must be 32 bytes in base64url.')
      }
      await guard.admitWrite(client, size)
      try {
        const eraseToken = newToken()
        if (to !== undefined) {
          const code = to.trim()
          const expiresAt = await fill(client, code, text, eraseToken, seal ?? null)
          return { code, expiresAt: new Date(expiresAt).toISOString(), eraseToken }
        }
        let passwordHash: string | null = null
        if (password !== undefined) {
          passwordHash = seal === undefined ? await hashPassword(password, client) : hashAuth(password)
        }
        const writtenAt = now()
        const expiresAt = writtenAt + expiresIn * 1000
        const kept = {
          body: text,
          passwordHash,
          once,
          eraseTokenHash: sha256(eraseToken),
          expiresAt,
          seal: seal ?? null,
        }
        const added = { ...kept, writer: writerOf(client), receiveTokenHash: null, publicKey: null }
        const code = await store.write(added, writtenAt)
        return { code, expiresAt: new Date(expiresAt).toISOString(), eraseToken }
      } catch (error) {
        // What failed is told, not that it could not be taken back.
        await guard.uncountBytes(client, size).catch(() => {})
        throw error
      }
    },

    /**
     * @param request says when the client has gone, who then takes nothing
     */
    async load(client: string, { code, password, keepOnce, waiting: isForWaiting, sealed, request }: Loading) {
      const message = isForWaiting ? NOBODY_WAITS : undefined
      let found = await find(client, code, message)
      if (found.receiveTokenHash !== null) {
        if (found.body !== '') throw await guard.miss(client, code, message)
        await guard.countGlimpse(client, code)
        throw new Refusal('receiving', { publicKey: found.publicKey ?? undefined })
      }
      if (isForWaiting) throw await guard.miss(client, code, message)
      const { passwordHash } = found
      const seal = found.seal ?? undefined
      if (passwordHash !== null) await guard.countGlimpse(client, code)
      if (seal !== undefined && sealed) throw sealed()
      if (found.once && keepOnce) throw new Refusal(keepOnce)
      if (passwordHash !== null) {
        if (password === undefined) throw new Refusal('password_required', { seal })
        const { signal } = request // Only here, since making it takes as long as all the rest of a load.
        // The salted hash is no other text's: what is counted for this one never meets a later one with its code.
        const verify = async () =>
          seal === undefined ? verifyPassword(password, passwordHash, client) : verifyAuth(password, passwordHash)
        await guard.checkPassword(passwordHash, client, verify, seal === undefined).catch((error) => {
          if (error instanceof Refusal && error.reason === 'wrong_password') error.details.seal = seal
          throw error
        })
        // Hashing takes a while, in which the client may have gone, and the text expired or been erased or taken.
        if (signal.aborted) throw new Refusal('busy')
        found = await find(client, code)
        if (found.passwordHash !== passwordHash) throw await guard.miss(client, code)
      }
      if (found.once) {
        const { signal } = request
        await Bun.sleep(HEARING)
        if (signal.aborted) throw new Refusal('busy')
        if (!(await store.erase(code, found.eraseTokenHash, now(), 1))) throw await guard.miss(client, code)
      } else if (request.method !== 'HEAD') store.countLoad(found, now())
      await guard.forgive(client, code, passwordHash !== null)
      return { text: found.body, expiresAt: found.expiresAt, once: found.once, seal }
    },

    async erase(client: string, { code, eraseToken }: { code: string; eraseToken: string }) {
      const { eraseTokenHash } = await find(client, code)
      // Compared before anything is committed, so that a burst of guesses is counted guess by guess.
      if (!eraseTokenHash.equals(sha256(eraseToken))) throw await guard.miss(client, code)
      if (!(await store.erase(code, eraseTokenHash, now()))) throw await guard.miss(client, code)
    },

    /** What became of a text, for its writer: also once it is gone, until it would have expired. */
    async status(client: string, { code, eraseToken }: { code: string; eraseToken: string }) {
      guard.refuseLookUp(client)
      const eraseTokenHash = sha256(eraseToken)
      const found = await store.load(code, now())
      const isThere = found?.eraseTokenHash.equals(eraseTokenHash) === true
      const receipt = await store.receipt(eraseTokenHash, now())
      if (!isThere && !receipt) throw await guard.miss(client, code)
      await guard.admitLookUp(client) // Again, since a burst of guesses was admitted as a whole.
      const { loads, lastLoadedAt, expiresAt }: Omit<Receipt, 'eraseTokenHash'> = receipt ?? {
        loads: 0,
        lastLoadedAt: null,
        expiresAt: found?.expiresAt ?? 0,
      }
      const state = !isThere ? 'gone' : loads > 0 ? 'loaded' : 'waiting'
      return { state, loads, lastLoadedAt, expiresAt } as const
    },

    receive,
    wait,
    endWaiting,
    receiveHere,
  }
}
