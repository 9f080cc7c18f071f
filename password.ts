/** Argon2id hashes, at most one per core at a time: each takes 64 MiB and about 140 ms of a core. */
import { availableParallelism } from 'node:os'
import pLimit from 'p-limit'
import { invalid, Refusal } from './errors.ts'

const CORES = availableParallelism()

/** Hashes that may wait behind the running ones: about two seconds' worth, after which a user had better be told. */
const QUEUE_LENGTH = 16 * CORES

const atOnce = pLimit(CORES)

export const MAX_PASSWORD_BYTES = 256

/** A password as it is compared: the same, however a keyboard composed it. Throws the refusal `invalid`. */
function normalize(password: string): string {
  const size = Buffer.byteLength(password)
  if (size === 0 || size > MAX_PASSWORD_BYTES || !password.isWellFormed()) {
    throw invalid('password', `Must be 1 to ${MAX_PASSWORD_BYTES} bytes of well-formed Unicode.`)
  }
  return password.normalize('NFC')
}

/** The Argon2id hash of `password` in PHC format. Throws the refusal `busy` when the queue is full. */
export const hashPassword = (password: string): Promise<string> =>
  queued(() => Bun.password.hash(normalize(password), { algorithm: 'argon2id', memoryCost: 65_536, timeCost: 2 }))

/** Whether `password` is the one that `hash` was made of. Throws as `hashPassword` does. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const normalized = normalize(password)
  return queued(() => Bun.password.verify(normalized, hash))
}

/** How many hashes there are at the moment. */
export const hashes = () => ({ running: atOnce.activeCount, waiting: atOnce.pendingCount })

function queued<T>(work: () => Promise<T>): Promise<T> {
  if (atOnce.pendingCount >= QUEUE_LENGTH) throw new Refusal('busy', { retryAfter: 3 })
  return atOnce(work)
}
