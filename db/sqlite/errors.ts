/** What SQLite's errors say, and what an operator is told of a damaged file. */

/** The name of an SQLite result code, such as `SQLITE_FULL`; undefined for any other error. */
export function sqliteCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined
}

/** Whether an error says that another process holds the file. */
export const isBusy = (error: unknown): boolean => sqliteCode(error)?.startsWith('SQLITE_BUSY') ?? false

/** Whether an error says that the file, or the disk under it, does not hold what was written. */
export const isDamage = (error: unknown): error is Error =>
  /^SQLITE_(CORRUPT|NOTADB|IOERR_(READ|SHORT_READ|CORRUPTFS))/.test(sqliteCode(error) ?? '')

/** An error as SQLite throws it, for damage that only we notice. */
export const damageError = (message: string) => Object.assign(new Error(message), { code: 'SQLITE_CORRUPT' })

export const RESCUE = 'db:rescue FILE brings what can be read of it into a new file.'

/** One line for the operator: what of the file at `path` is damaged, and what helps. */
export const damageOf = (path: string, parts: string[]) => `${path} is damaged: ${parts.join('; ')}. ${RESCUE}`

/** The part without which SQLite cannot open a file. */
export const FIRST_PAGE = 'its first page, which says what is where'
