/** Copies a SQLite file's texts, rests and receipts to PostgreSQL: `db:move FROM`. */
import type { Database } from 'bun:sqlite'
import type { SQL as Client } from 'bun'
import { getTableColumns, gt, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { Say } from './migrate.ts'
import { fillable } from './postgres/connection.ts'
import { countWriters, fromJson, receiptsJson, type TextRow, textColumns, textValues } from './postgres/rows.ts'
import { receipt, text } from './schema.ts'

/** Rows that one statement copies: a broken move goes on from there. */
const AT_ONCE = 500

const value = (column: keyof TextRow, type: SQL) => sql`${sql.placeholder(column)}::${type}`
const add = fillable(sql`
  WITH drawn AS (DELETE FROM code WHERE code = ${value('code', sql`text`)} RETURNING code),
    counted AS (UPDATE stored SET texts = texts + 1, bytes = bytes + octet_length(${value('body', sql`bytea`)})
      WHERE part = 0 AND EXISTS (SELECT FROM drawn)),
    shares AS (${countWriters(
      sql`sum(octet_length(${value('body', sql`bytea`)}))`,
      sql`(SELECT ${value('writer', sql`int`)} AS writer FROM drawn) AS drawn`,
    )}),
    added AS (INSERT INTO text (${textColumns}) SELECT ${textValues(value)} FROM drawn RETURNING code)
  SELECT EXISTS (SELECT FROM added UNION ALL SELECT FROM text
    WHERE code = ${value('code', sql`text`)} AND erase_token_hash = ${value('eraseTokenHash', sql`bytea`)}) AS same`)

const addReceipts = fillable(sql`INSERT INTO receipt (erase_token_hash, loads, last_loaded_at, expires_at)
  ${fromJson(sql`${sql.placeholder('receipts')}`)} ON CONFLICT DO NOTHING`)

/**
 * Copies every text, with all that belongs to it, every rest of a code and every receipt. What is there already is
 * left alone, so a move that was broken off is simply run again.
 * @throws an Error of one line where a code has another text there, or the counts do not agree afterwards
 */
export async function move(from: Database, to: Client, say: Say) {
  const db = drizzle(from, { casing: 'snake_case' })
  const texts = db
    .select({ ...getTableColumns(text), body: sql<Uint8Array>`CAST(${text.body} AS BLOB)` })
    .from(text)
    .where(gt(text.code, sql.placeholder('after')))
    .orderBy(text.code)
    .limit(AT_ONCE)
    .prepare()
  const counted = { texts: 0, bytes: 0, rests: 0, receipts: 0 }
  for (let after = ''; ; ) {
    const rows = texts.all({ after })
    const last = rows.at(-1)
    if (!last) break
    after = last.code
    counted.texts += rows.length
    for (const row of rows) counted.bytes += row.body.byteLength
    await to.begin(async (transaction) => {
      // Locked before anything else, as by whoever writes meanwhile: so neither waits for the other.
      await transaction.unsafe('LOCK TABLE stored IN EXCLUSIVE MODE')
      for (const row of rows) {
        const [same] = await transaction.unsafe<{ same: boolean }[]>(
          ...add({ ...row, body: Buffer.from(row.body) } satisfies TextRow),
        )
        if (!same?.same) throw new Error(`Another text has the code ${row.code} there: the databases cannot be joined.`)
      }
    })
  }

  const rests = from.query<{ code: string; rests_until: number }, { after: string }>(
    `SELECT code, rests_until FROM code WHERE rests_until IS NOT NULL AND code > $after ORDER BY code LIMIT ${AT_ONCE}`,
  )
  for (let after = ''; ; ) {
    const rows = rests.all({ after })
    const last = rows.at(-1)
    if (!last) break
    after = last.code
    counted.rests += rows.length
    await to.unsafe(
      `UPDATE code SET rests_until = greatest(code.rests_until, moved.rests_until)
       FROM unnest($1::text[], $2::bigint[]) AS moved (code, rests_until) WHERE code.code = moved.code`,
      [
        to.array(
          rows.map((row) => row.code),
          'TEXT',
        ),
        to.array(
          rows.map((row) => row.rests_until),
          'BIGINT',
        ),
      ],
    )
  }

  const receipts = db
    .select()
    .from(receipt)
    .where(gt(receipt.eraseTokenHash, sql.placeholder('after')))
    .orderBy(receipt.eraseTokenHash)
    .limit(AT_ONCE)
    .prepare()
  for (let after: Buffer = Buffer.alloc(0); ; ) {
    const rows = receipts.all({ after })
    const last = rows.at(-1)
    if (!last) break
    after = last.eraseTokenHash
    counted.receipts += rows.length
    await to.unsafe(...addReceipts({ receipts: receiptsJson(rows) }))
  }

  const [there] = await to.unsafe<(typeof counted)[]>(
    `SELECT count(*)::float8 AS texts, coalesce(sum(octet_length(body)), 0)::float8 AS bytes,
      (SELECT count(*) FROM code WHERE rests_until IS NOT NULL)::float8 AS rests,
      (SELECT count(*) FROM receipt)::float8 AS receipts FROM text`,
  )
  const told = (counts: typeof counted) =>
    Object.entries(counted)
      .map(([name]) => `${counts[name as keyof typeof counted].toLocaleString('en')} ${name}`)
      .join(', ')
  if (!there || told(there) !== told(counted)) {
    throw new Error(
      `There are ${told(counted)} here, but ${there ? told(there) : 'nothing'} there. Nothing was deleted.`,
    )
  }
  say(`Copied and counted: ${told(counted)}`)
}
