/** How much of texts there may be, and what is told to the writer of one that there is no room for. */
import { Refusal } from '../errors.ts'
import type { StoreOptions } from './store.ts'

/** What a text may have, and how long it may live, to be taken where the store is nearly full: as most are and do. */
export const SMALL_BYTES = 16_384
export const SHORT_MILLISECONDS = 24 * 60 * 60 * 1000

/** What is told of what there is too little of. No wait is promised, since none is known to help. */
const LACKS = {
  texts: 'The server holds as many texts as it may.',
  bytes: 'The server has no room for a text of this size.',
  reserve: `The server is nearly full: it takes only texts of up to ${SMALL_BYTES.toLocaleString('en')} bytes that are kept for up to a day.`,
  share:
    'The texts from your network take as much of the room of this server as those of one network may. Erase some of them, or write a shorter one.',
}

export type Lack = keyof typeof LACKS

export const noRoom = (lack: Lack) => new Refusal('storage_full', { message: LACKS[lack] })

/** The codes that wait may be this share of all texts, so that nobody empties the pool with texts that are not there. */
const RECEIVING = 0.1

export const tooManyWait = () => new Refusal('too_many_waiting', { retryAfter: 60 })

/** The most that there may be. */
export const roomOf = ({ maxTexts, maxStoredBytes }: StoreOptions) => ({
  texts: maxTexts,
  receiving: Math.ceil(maxTexts * RECEIVING),
  bytes: maxStoredBytes,
  /** The bytes from which on only small texts are taken that live for a short time, so that nobody fills the store for a month. */
  bytesOfAnyText: Math.floor(maxStoredBytes * 0.75),
  /** The bytes of one writer's texts, so that it takes ten networks to fill the store. */
  bytesOfWriter: Math.floor(maxStoredBytes * 0.1),
})

export type Room = ReturnType<typeof roomOf>

/** What there is too little of where there would be `texts` of `bytes` together, and `bytesOfWriter` of one writer. */
export function lackOf(
  room: Room,
  there: { texts: number; bytes: number; bytesOfWriter: number },
  added: { bytes: number; lifetime: number },
): Lack | undefined {
  if (there.texts > room.texts) return 'texts'
  if (there.bytes > room.bytes) return 'bytes'
  const isSmall = added.bytes <= SMALL_BYTES && added.lifetime <= SHORT_MILLISECONDS
  if (there.bytes > room.bytesOfAnyText && !isSmall) return 'reserve'
  if (there.bytesOfWriter > room.bytesOfWriter) return 'share'
}
