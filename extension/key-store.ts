/** The keys of those who wait. A browser lets nobody read them, and so keeps them where nothing but it can. */
import { isPrivate, kept, now, type Waiting } from './api.ts'

/** For where the browser keeps none, or must not: gone with the page. */
const memory = new Map<string, CryptoKeyPair>()

/** By their end, so that those are found that nobody asks for any more. */
const idOf = ({ expiresAt, code }: Waiting) => [expiresAt, code]

export async function keepKeys(waiting: Waiting, keys: CryptoKeyPair) {
  memory.set(waiting.code, keys)
  await kept.set('keysUntil', waiting.expiresAt)
  await inStore((store) => store.put(keys, idOf(waiting)))
}

/** Undefined where they are gone. */
export const keysOf = async (waiting: Waiting): Promise<CryptoKeyPair | undefined> =>
  memory.get(waiting.code) ?? inStore((store) => store.get(idOf(waiting)))

export async function forgetKeys(waiting: Waiting) {
  memory.delete(waiting.code)
  await inStore((store) => store.delete(idOf(waiting)))
}

/** Forgets those whose page was closed before their time was up. Where none was kept, the browser's store is not touched. */
export async function forgetOldKeys() {
  const until = (await kept.get('keysUntil')) ?? Number.POSITIVE_INFINITY
  if (until > now()) return
  await inStore((store) => store.delete(IDBKeyRange.upperBound([now()])))
  await kept.set('keysUntil', undefined)
}

/** Undefined where the browser refuses. Of private windows nothing reaches the disk. */
async function inStore<T>(work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  if (await isPrivate) return undefined
  try {
    const opening = indexedDB.open('keys')
    opening.onupgradeneeded = () => opening.result.createObjectStore('keys')
    const database = await done(opening)
    try {
      return await done(work(database.transaction('keys', 'readwrite').objectStore('keys')))
    } finally {
      database.close()
    }
  } catch {
    return undefined
  }
}

const done = <T>(request: IDBRequest<T>) =>
  new Promise<T>((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
