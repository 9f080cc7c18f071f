/** The tables of the database. A code is always in exactly one of the first two. */
import { sql } from 'drizzle-orm'
import * as t from 'drizzle-orm/sqlite-core'

/** The pool: the codes that are free to be lent. Made `WITHOUT ROWID`, which drizzle cannot express. */
export const code = t.sqliteTable(
  'code',
  {
    /** Four letters, each a–z or A–Z. */
    code: t.text().primaryKey(),
    /** Not lent again before this moment, in milliseconds since 1970; null for a code that was never lent. */
    restsUntil: t.integer(),
  },
  // For counting the codes at rest without reading millions that never were.
  (code) => [t.index('code_rests_until').on(code.restsUntil).where(sql`${code.restsUntil} IS NOT NULL`)],
)

/** The texts that are stored, each under the code that it was lent. */
export const text = t.sqliteTable(
  'text',
  {
    /** The four letters that the writer was given. */
    code: t.text().primaryKey(),
    /** The text itself, byte for byte; empty while somebody waits for it. */
    body: t.text().notNull(),
    /** Argon2id in PHC format, or `sha256$` and a hash where the browser did the slow part; null for a text without a password. */
    passwordHash: t.text(),
    /** Whether the first successful load deletes the text. */
    once: t.integer({ mode: 'boolean' }).notNull(),
    /** SHA-256 of the erase token, which only the writer knows. It also tells this text from a later one with the same code. */
    eraseTokenHash: t.blob({ mode: 'buffer' }).notNull(),
    /** Milliseconds since 1970. */
    createdAt: t.integer().notNull(),
    /** Milliseconds since 1970; from this moment on the text is gone. */
    expiresAt: t.integer().notNull(),
    /** The number that the writer's network has in common with hundreds of others, to count how much its texts take; null where it has none. */
    writer: t.integer(),
    /** The scheme, its parameters and the salt, as `extension/SEAL.md` has them: the body is sealed; null for one that is not. */
    seal: t.text(),
    /** SHA-256 of the receive token, where the code was lent to whoever waits for a text: it is given to that token alone. */
    receiveTokenHash: t.blob({ mode: 'buffer' }),
    /** The key that whoever waits wants the text to be sealed with, in base64url. */
    publicKey: t.text(),
  },
  (text) => [
    // The size rides along so that the bytes stored are summed from the index, without reading a text.
    t.index('text_expires_at').on(text.expiresAt, sql`octet_length(${text.body})`),
    // For counting the codes that wait.
    t.index('text_receiving').on(text.code).where(sql`${text.receiveTokenHash} IS NOT NULL`),
  ],
)

/** What its writer may be told of a text that was loaded or is gone, until it would have expired. */
export const receipt = t.sqliteTable(
  'receipt',
  {
    /** That of the text. */
    eraseTokenHash: t.blob({ mode: 'buffer' }).primaryKey(),
    /** How many times it was loaded. */
    loads: t.integer().notNull(),
    /** Milliseconds since 1970; null where it never was. */
    lastLoadedAt: t.integer(),
    /** Milliseconds since 1970: when the text expires, and this with it. */
    expiresAt: t.integer().notNull(),
  },
  (receipt) => [t.index('receipt_expires_at').on(receipt.expiresAt)],
)
