/** Argon2id hashes, at most one per core at a time: each takes 64 MiB and about 140 ms of a core. */
import { hash, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import PQueue from 'p-queue'
import { networksOf } from './client.ts'
import { invalid, Refusal } from './errors.ts'

const CORES = availableParallelism()

/** Hashes that may wait behind the running ones: about two seconds' worth, after which a user had better be told. */
const QUEUE_LENGTH = 16 * CORES

/** Hashes of one client, and of one network, that may run or wait at a time: nobody takes the whole queue. */
const PER_CLIENT = 2
const PER_NETWORK = 4

/** Whoever waits for a text comes before whoever writes one. */
const [LOAD, WRITE] = [1, 0]

const queue = new PQueue({ concurrency: CORES })

/** Hashes that run or wait, by client and by network. */
const under = new Map<string, number>()

/** For whom hashes are reckoned together, and how many there may be of each at a time. */
const sharesOf = (client: string): [name: string, most: number][] => [
  [client, PER_CLIENT],
  ...networksOf(client).map(({ name, clients }): [string, number] => [name, (PER_NETWORK * clients) / 10]),
]

/** Whether `client` may have one more hash at the moment. */
export const hasTurn = (client: string) => sharesOf(client).every(([name, most]) => (under.get(name) ?? 0) < most)

export const MAX_PASSWORD_BYTES = 256

/** A password as it is compared: the same, however a keyboard composed it. Throws the refusal `invalid`. */
function normalize(password: string): string {
  const size = Buffer.byteLength(password)
  if (size === 0 || size > MAX_PASSWORD_BYTES || !password.isWellFormed()) {
    throw invalid('password', `Must be 1 to ${MAX_PASSWORD_BYTES} bytes of well-formed Unicode.`)
  }
  return password.normalize('NFC')
}

/** The Argon2id hash of `password` in PHC format. Throws the refusal `busy` when the queue is full, or the client's share of it. */
export function hashPassword(password: string, client: string): Promise<string> {
  if (!hasTurn(client) || queue.size >= QUEUE_LENGTH / 2) throw busy()
  const normalized = normalize(password)
  return queued(client, WRITE, () =>
    Bun.password.hash(normalized, { algorithm: 'argon2id', memoryCost: 65_536, timeCost: 2 }),
  )
}

/** Whether `password` is the one that `hash` was made of. Throws the refusal `busy` when the queue is full: `hasTurn` is the caller's to ask. */
export async function verifyPassword(password: string, hash: string, client: string): Promise<boolean> {
  if (queue.size >= QUEUE_LENGTH) throw busy()
  const normalized = normalize(password)
  return queued(client, LOAD, () => Bun.password.verify(normalized, hash))
}

/** What a browser derived of a password for a sealed text: the slow part was done there. */
export const AUTH = /^[\w-]{43}$/

/** The hash of an `AUTH`, which nobody takes for that of a password. */
export const hashAuth = (auth: string) => `sha256$${hash('sha256', auth, 'base64url')}`

/** Whether `auth` is the one that `authHash` was made of. */
export const verifyAuth = (auth: string, authHash: string) =>
  timingSafeEqual(Buffer.from(hashAuth(auth)), Buffer.from(authHash))

/** How many hashes there are at the moment. */
export const hashes = () => ({ running: queue.pending, waiting: queue.size })

const busy = () => new Refusal('busy', { retryAfter: 3 })

async function queued<T>(client: string, priority: number, work: () => Promise<T>): Promise<T> {
  const names = sharesOf(client).map(([name]) => name)
  for (const name of names) under.set(name, (under.get(name) ?? 0) + 1)
  try {
    return await queue.add(work, { priority })
  } finally {
    for (const name of names) {
      const left = (under.get(name) ?? 1) - 1
      if (left > 0) under.set(name, left)
      else under.delete(name)
    }
  }
}
