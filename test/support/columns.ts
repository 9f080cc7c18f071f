/** Values for the columns of a text, made from the table: for what has to carry each of them, also those to come. */
import { getTableColumns } from 'drizzle-orm'
import { text } from '../../db/schema.ts'
import type { NewText } from '../../db/store.ts'

const VALUES = { string: 'a "value" \\x00', number: 1_234_567, boolean: true, buffer: Buffer.from([0, 255, 39, 92]) }

const { code, createdAt, body, eraseTokenHash, expiresAt, ...others } = getTableColumns(text)
const columns = Object.entries(others)

/** A value in every column, but those that `text` gives to each text. */
export const everyColumn: Partial<NewText> = Object.fromEntries(
  columns.map(([column, { dataType }]) => [column, VALUES[dataType]]),
)

/** Nothing in every column that may be empty. */
export const noColumn: Partial<NewText> = Object.fromEntries(
  columns.filter(([, { notNull }]) => !notNull).map(([column]) => [column, null]),
)
