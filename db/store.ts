/** The store: what can be done with texts, whichever database keeps them. */
import { randomInt } from 'node:crypto'
import type { Awaitable, Counters } from './counters.ts'
import type { Say } from './migrate.ts'
import type { receipt, text } from './schema.ts'

export const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Four random letters, from the system's secure source: where in the pool the search for a free code begins. */
export const randomCode = () => Array.from({ length: 4 }, () => LETTERS[randomInt(LETTERS.length)]).join('')

/** How many codes there are, lent and free together: four letters of 52. */
export const CODES = LETTERS.length ** 4

export type LentText = typeof text.$inferSelect
/** What the writer says of a text: every column, so that none is forgotten. */
export type NewText = Omit<LentText, 'code' | 'createdAt'>
/** A text for whoever waits under a code: what else there is to a text was said by them. */
export type FilledText = Pick<NewText, 'body' | 'seal' | 'eraseTokenHash' | 'writer'>
export type Receipt = typeof receipt.$inferSelect

/** What a database server beyond the process may do at most. */
export interface ServerOptions {
  /** How many connections this process opens. */
  connections: number
  /** Seconds until a connection is given up, and until a statement is. */
  timeoutSeconds: number
  /** Whether a pooler lends a connection for one transaction only, so that nothing may be left behind on it. */
  isPooled: boolean
}

export interface StoreOptions extends Partial<ServerOptions> {
  /** How long a returned code is not lent again. */
  codeRestSeconds: number
  /** The most texts that there may be. */
  maxTexts: number
  /** The most bytes that all texts may have together. */
  maxStoredBytes: number
  /** Hears what the migrations do. */
  say?: Say
}

/**
 * Times are milliseconds since 1970. What changes the database is on its disk when its promise resolves. Any call may
 * throw the refusals `busy` (the database cannot be had right now, or is damaged) and `storage_full` (its disk is); it has then
 * changed nothing, or nothing that anybody was told of.
 */
export interface Store {
  /**
   * Stores a text under a code from the pool, where `room.ts` says that there is room; with a `receiveTokenHash` an empty
   * one, which is yet to be filled in. Throws the refusals `storage_full`, `no_codes_left` and `too_many_waiting`.
   */
  write(added: NewText, now: number): Promise<string>

  /** The living text under `code`. An expired one is deleted, and its code returned, there and then. */
  load(code: string, now: number): Promise<LentText | undefined>

  /**
   * Fills in the text that somebody waits for under `code`. Of many that try at once, one is told `true`. Throws the
   * refusal `storage_full`.
   */
  fill(code: string, filled: FilledText, now: number): Promise<boolean>

  /**
   * Deletes the living text under `code` whose erase token, or receive token, has this SHA-256, and returns the code to
   * the pool. Of many that try at once, one is told `true`: which also makes it the claim to a text that is read only once.
   * @param loads how many times its receipt says more that it was loaded
   */
  erase(code: string, tokenHash: Buffer, now: number, loads?: 0 | 1): Promise<boolean>

  /** Counts, without a commit of its own, that a text was loaded. What was counted last is lost in a crash. */
  countLoad(text: LentText, now: number): void

  /** The receipt of a text that was loaded or is gone, until it would have expired. */
  receipt(eraseTokenHash: Buffer, now: number): Promise<Receipt | undefined>

  /** Which of `codes` nobody waits under any more. Only where other servers may fill them in. */
  settled?(codes: string[]): Promise<string[]>

  /**
   * Deletes every expired text, and returns the codes. Works in turns, between which requests are answered.
   * @returns how many texts had expired
   */
  sweep(now: number): Promise<number>

  /** Reads the database. Throws where that fails. */
  check(): Awaitable<void>

  /** How many texts are stored, their bytes together, how many of them are waited for, and how many codes of the pool rest at `now`. */
  stats(now: number): Promise<{ texts: number; bytes: number; receiving: number; resting: number }>

  /** How many texts are stored, and their bytes together, as far as this process knows without asking: a minute ago at the latest. */
  known(): { texts: number; bytes: number }

  /** The counters of limits that all servers of this store share; without it each process counts for itself. */
  counters?: Counters

  /** Finishes what is waiting to be committed, and closes the database. */
  close(): Promise<void>
}
