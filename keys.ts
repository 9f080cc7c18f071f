/** Write keys: who may write, on a server where not everybody may. */
import { hash, timingSafeEqual } from 'node:crypto'
import { Refusal } from './errors.ts'
import type { Guard } from './guard.ts'
import { type Settings, writeKeysOf } from './settings.ts'
import type { Watch } from './watch.ts'

const GUESSING =
  'Too many wrong write keys, or codes without a text, came from your network address, as from someone who guesses. ' +
  'Writing, loading and erasing are paused for everyone who shares this address.'

/** Makes the check of a request that writes. Where there are write keys it has to bring one, or is refused: `write_key_required`. */
export function createWriteCheck(settings: Settings, guard: Guard, watch?: Watch) {
  const digestOf = (key: string) => hash('sha256', key, 'buffer')
  const keys = writeKeysOf(settings.WRITE_KEYS).map(([name, key]) => ({ name, digest: digestOf(key) }))

  return async (request: Request, client: string) => {
    if (keys.length === 0) return
    const given = request.headers.get('x-write-key')
    if (!given) throw new Refusal('write_key_required')
    guard.refuseLookUp(client, GUESSING)
    // The digests have one length, and all are compared: how long it takes tells nothing of any key.
    const digest = digestOf(given)
    const [key] = keys.filter((key) => timingSafeEqual(key.digest, digest))
    if (!key) {
      await guard.countWrongKey(client, digest.toString('hex'), GUESSING)
      throw new Refusal('write_key_required', { message: 'The key in X-Write-Key is none of this server’s.' })
    }
    await guard.admitLookUp(client, GUESSING) // Again, since a burst of guesses was admitted as a whole.
    watch?.wroteWith(request, key.name)
  }
}
