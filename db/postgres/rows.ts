/** The rows of the table `text` on PostgreSQL, by lists that are made from the table, so that no column is left out. */
import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { toSnakeCase } from 'drizzle-orm/casing'
import type { Receipt } from '../store.ts'
import { receipt, text, writer } from './schema.ts'

export type TextRow = typeof text.$inferSelect
type Column = keyof TextRow

const types = getTableColumns(text)
const columns = Object.keys(types) as Column[]
const list = (of: readonly Column[], each: (column: Column) => SQL) => sql.join(of.map(each), sql`, `)

/** For `INSERT INTO text (…)`. */
export const textColumns = list(columns, (column) => sql.identifier(toSnakeCase(column)).getSQL())

/** For what is inserted, in the order of `textColumns`: the value of each column is what `each` says. */
export const textValues = (each: (column: Column, type: SQL) => SQL) =>
  list(columns, (column) => each(column, sql.raw(types[column].getSQLType())))

/** For `SELECT …`, as a `TextRow`: `bigint` as a number, since it would come as a string. */
export const readText = (body: SQL = text.body.getSQL()) =>
  list(columns, (column) => {
    const value =
      column === 'body' ? body : types[column].dataType === 'number' ? sql`${types[column]}::float8` : types[column]
    return sql`${value} AS ${sql.identifier(column)}`
  })

/** What travels as JSON when many texts are written at once: all but the code, which is yet to be drawn, and the body. */
const inJson = columns.filter((column) => column !== 'code' && column !== 'body')

/** For `json_to_recordset(…) AS text(…)`, which reads what `toJson` makes. */
export const jsonColumns = list(
  inJson,
  (column) => sql`${sql.identifier(column)} ${sql.raw(types[column].getSQLType())}`,
)

export const toJson = (row: Omit<TextRow, 'code' | 'body'>) =>
  Object.fromEntries(
    inJson.map((column) => {
      const value = row[column as keyof typeof row]
      return [column, Buffer.isBuffer(value) ? `\\x${value.toString('hex')}` : value]
    }),
  )

/**
 * Counts bytes for the writers of `rows`, in the order of their numbers, so that no two statements wait for each other;
 * those of whom `max` would be exceeded not at all. Returns the numbers of the others.
 */
export const countWriters = (bytes: SQL, rows: SQL, max?: SQL) => sql`
  INSERT INTO ${writer} AS counted (number, bytes)
  SELECT writer, ${bytes} FROM ${rows} WHERE writer IS NOT NULL
  GROUP BY writer ${max && sql`HAVING ${bytes} <= ${max}`} ORDER BY writer
  ON CONFLICT (number) DO UPDATE SET bytes = counted.bytes + excluded.bytes
  ${max && sql`WHERE counted.bytes + excluded.bytes <= ${max}`} RETURNING number`

/**
 * Adds the receipts that a query gives to those that are there, in the order of their tokens' hashes, so that no two
 * statements wait for each other.
 */
export const addReceipts = (rows: SQL) => sql`
  INSERT INTO ${receipt} AS known (erase_token_hash, loads, last_loaded_at, expires_at) ${rows} ORDER BY 1
  ON CONFLICT (erase_token_hash) DO UPDATE SET loads = known.loads + excluded.loads,
    last_loaded_at = greatest(known.last_loaded_at, excluded.last_loaded_at)`

/** A query of the receipts in what `receiptsJson` made. */
export const fromJson = (json: SQL) => sql`
  SELECT erase_token_hash, loads, last_loaded_at, expires_at FROM json_to_recordset(${json}::text::json)
    AS receipts (erase_token_hash bytea, loads bigint, last_loaded_at bigint, expires_at bigint)`

/** Receipts of different texts, as JSON. */
export const receiptsJson = (receipts: Receipt[]) =>
  JSON.stringify(
    receipts.map(({ eraseTokenHash, loads, lastLoadedAt, expiresAt }) => ({
      erase_token_hash: `\\x${eraseTokenHash.toString('hex')}`,
      loads,
      last_loaded_at: lastLoadedAt,
      expires_at: expiresAt,
    })),
  )
