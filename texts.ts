/** Writing, loading and erasing as every route does it: the limits are asked, passwords and tokens hashed, the store called. */
import { hash, randomBytes } from 'node:crypto'
import { writerOf } from './client.ts'
import type { LentText, Store } from './db/store.ts'
import { invalid, Refusal, tooLarge } from './errors.ts'
import type { Guard } from './guard.ts'
import { AUTH, hashAuth, hashPassword, verifyAuth, verifyPassword } from './password.ts'
import type { Settings } from './settings.ts'

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
}

interface Loading {
  code: string
  password?: string
  /** The refusal of a text that can be read only once, where this load is not to take it. */
  keepOnce?: 'use_post' | 'only_once'
  /** The refusal of a sealed text, where whoever asks could not open it. */
  sealed?: () => Refusal
  request: Request
}

const sha256 = (token: string) => hash('sha256', token, 'buffer')

export type Texts = ReturnType<typeof createTexts>

/** Base64url of a text that was padded, by an eighth at most; and what sealing adds to the smallest. */
const SEALED_SHARE = 1.5
const SEALED_BYTES = 200

/** The three operations. Each is asked by a `client`, as `clientOf` names it, and throws the refusals of `errors.ts`. */
export function createTexts(store: Store, guard: Guard, settings: Settings, now: () => number) {
  const { MAX_TEXT_BYTES, MAX_STORED_BYTES, WRITE_BYTES_PER_DAY } = settings
  /** What is larger can never be stored, so its writer is not told to wait. */
  const mostEver = Math.min(MAX_STORED_BYTES, WRITE_BYTES_PER_DAY || Number.POSITIVE_INFINITY)
  const maxBytes = Math.min(MAX_TEXT_BYTES, mostEver)
  const maxSealedBytes = Math.min(SEALED_SHARE * MAX_TEXT_BYTES + SEALED_BYTES, mostEver)

  async function look(client: string, code: string): Promise<LentText> {
    const found = await store.load(code, now())
    if (!found) throw await guard.miss(client, code)
    return found
  }

  /** The look-ups of a client that are under way, where they may end in another order than they began. */
  const underWay = new Map<string, Promise<unknown>>()

  async function lookInTurn(client: string, code: string): Promise<LentText> {
    const looking = look(client, code)
    const earlier = underWay.get(client)
    const all = Promise.allSettled([earlier, looking]).then(() => {
      if (underWay.get(client) === all) underWay.delete(client)
    })
    underWay.set(client, all)
    const found = await looking
    await earlier // All guesses before this one are counted by then.
    return found
  }

  async function find(client: string, code: string): Promise<LentText> {
    guard.refuseLookUp(client)
    const found = await (store.counters ? lookInTurn : look)(client, code)
    await guard.admitLookUp(client) // Again, since a burst of guesses was admitted as a whole.
    return found
  }

  return {
    async write(
      client: string,
      { text, expiresIn = settings.DEFAULT_EXPIRY_SECONDS, password, once = false, seal }: NewText,
    ) {
      const size = Buffer.byteLength(text)
      if (size > (seal === undefined ? maxBytes : maxSealedBytes)) throw tooLarge(maxBytes)
      if (size === 0) throw invalid('text', 'The text is empty.')
      if (!text.isWellFormed()) throw invalid('text', 'The text is not well-formed Unicode.')
      if (seal !== undefined && /[^\w-]/.test(text)) throw invalid('text', 'A sealed text is base64url.')
      if (seal !== undefined && !AUTH.test(password ?? '')) {
        throw invalid('password', 'With a seal it must be 32 bytes in base64url.')
      }
      await guard.admitWrite(client, size)
      try {
        let passwordHash: string | null = null
        if (password !== undefined) {
          passwordHash = seal === undefined ? await hashPassword(password, client) : hashAuth(password)
        }
        const eraseToken = randomBytes(16).toString('base64url')
        const writtenAt = now()
        const expiresAt = writtenAt + expiresIn * 1000
        const kept = { body: text, passwordHash, once, eraseTokenHash: sha256(eraseToken), expiresAt }
        const code = await store.write({ ...kept, writer: writerOf(client), seal: seal ?? null }, writtenAt)
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
    async load(client: string, { code, password, keepOnce, sealed, request }: Loading) {
      let found = await find(client, code)
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
        if (!(await store.erase(code, found.eraseTokenHash, now()))) throw await guard.miss(client, code)
      }
      await guard.forgive(client, code, passwordHash !== null)
      return { text: found.body, expiresAt: found.expiresAt, once: found.once, seal }
    },

    async erase(client: string, { code, eraseToken }: { code: string; eraseToken: string }) {
      const { eraseTokenHash } = await find(client, code)
      // Compared before anything is committed, so that a burst of guesses is counted guess by guess.
      if (!eraseTokenHash.equals(sha256(eraseToken))) throw await guard.miss(client, code)
      if (!(await store.erase(code, eraseTokenHash, now()))) throw await guard.miss(client, code)
    },
  }
}
