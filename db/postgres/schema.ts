/** The tables of `../schema.ts` as PostgreSQL has them, and three more that it needs where many machines share it. */
import { sql } from 'drizzle-orm'
import * as t from 'drizzle-orm/pg-core'
import type * as sqlite from '../schema.ts'

/** Ordered by bytes, whatever the language of the database. */
const letters = t.customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' })

const bytes = t.customType<{ data: Buffer }>({ dataType: () => 'bytea' })

/** The pool: the codes that are free to be lent. */
export const code = t.pgTable(
  'code',
  {
    /** Four letters, each a–z or A–Z. */
    code: letters().primaryKey(),
    /** Not lent again before this moment, in milliseconds since 1970; null for a code that was never lent. */
    restsUntil: t.bigint({ mode: 'number' }),
  },
  (code) => [t.index('code_rests_until').on(code.restsUntil).where(sql`${code.restsUntil} IS NOT NULL`)],
)

/** The texts that are stored, each under the code that it was lent. */
export const text = t.pgTable(
  'text',
  {
    /** The four letters that the writer was given. */
    code: letters().primaryKey(),
    /** The text itself, as UTF-8: the type `text` could not hold a NUL. Empty while somebody waits for it. */
    body: bytes().notNull(),
    /** Argon2id in PHC format, or `sha256$` and a hash where the browser did the slow part; null for a text without a password. */
    passwordHash: t.text(),
    /** Whether the first successful load deletes the text. */
    once: t.boolean().notNull(),
    /** SHA-256 of the erase token, which only the writer knows. It also tells this text from a later one with the same code. */
    eraseTokenHash: bytes().notNull(),
    /** Milliseconds since 1970. */
    createdAt: t.bigint({ mode: 'number' }).notNull(),
    /** Milliseconds since 1970; from this moment on the text is gone. */
    expiresAt: t.bigint({ mode: 'number' }).notNull(),
    /** The number that the writer's network has in common with hundreds of others, to count how much its texts take; null where it has none. */
    writer: t.integer(),
    /** The scheme, its parameters and the salt, as `extension/SEAL.md` has them: the body is sealed; null for one that is not. */
    seal: t.text(),
    /** SHA-256 of the receive token, where the code was lent to whoever waits for a text: it is given to that token alone. */
    receiveTokenHash: bytes(),
    /** The key that whoever waits wants the text to be sealed with, in base64url. */
    publicKey: t.text(),
  },
  (text) => [
    t.index('text_expires_at').on(text.expiresAt),
    // For counting the codes that wait.
    t.index('text_receiving').on(text.code).where(sql`${text.receiveTokenHash} IS NOT NULL`),
  ],
)

/** What its writer may be told of a text that was loaded or is gone, until it would have expired. */
export const receipt = t.pgTable(
  'receipt',
  {
    /** That of the text. */
    eraseTokenHash: bytes().primaryKey(),
    /** How many times it was loaded. */
    loads: t.bigint({ mode: 'number' }).notNull(),
    /** Milliseconds since 1970; null where it never was. */
    lastLoadedAt: t.bigint({ mode: 'number' }),
    /** Milliseconds since 1970: when the text expires, and this with it. */
    expiresAt: t.bigint({ mode: 'number' }).notNull(),
  },
  (receipt) => [t.index('receipt_expires_at').on(receipt.expiresAt)],
)

/** How many texts there are and their bytes, in as many parts as keep writers from waiting for each other. Only the sums mean something. */
export const stored = t.pgTable('stored', {
  part: t.integer().primaryKey(),
  bytes: t.bigint({ mode: 'number' }).notNull().default(sql`0`),
  texts: t.bigint({ mode: 'number' }).notNull().default(sql`0`),
})

/** The bytes of the texts of each writer that has one. */
export const writer = t.pgTable('writer', {
  number: t.integer().primaryKey(),
  bytes: t.bigint({ mode: 'number' }).notNull(),
})

/** What the limits have counted, for all machines together. Unlogged, which drizzle cannot express. */
export const counter = t.pgTable(
  'counter',
  {
    /** The limit's name and whom it counts. */
    key: t.text().primaryKey(),
    count: t.bigint({ mode: 'number' }).notNull(),
    /** Milliseconds since 1970; from this moment on nothing is counted any more. */
    endsAt: t.bigint({ mode: 'number' }).notNull(),
  },
  (counter) => [t.index('counter_ends_at').on(counter.endsAt)],
)

/** The columns that two tables do not both have, with the same values. */
type Unlike<A, B> = {
  [Column in keyof A | keyof B]: Same<Get<A, Column>, Get<B, Column>> extends true ? never : Column
}[keyof A | keyof B]
type Get<Row, Column> = Column extends keyof Row ? Row[Column] : never
type Same<A, B> = [A, B] extends [B, A] ? true : false
type None<Columns extends never> = Columns

/** Does not compile, and names the columns, where the two engines do not have the same. The body is bytes here. */
export type Agreement = [
  None<Unlike<typeof code.$inferSelect, typeof sqlite.code.$inferSelect>>,
  None<Exclude<Unlike<typeof text.$inferSelect, typeof sqlite.text.$inferSelect>, 'body'>>,
  None<Unlike<typeof receipt.$inferSelect, typeof sqlite.receipt.$inferSelect>>,
]
