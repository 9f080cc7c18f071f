/** Brings what can be read of a damaged SQLite file into a new one: `db:rescue FILE`. */
import type { Database } from 'bun:sqlite'
import { type Migratable, pendingMigrations, type Say, upgrade } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { migratable, openLocked } from './sqlite/connection.ts'
import { sqliteCode } from './sqlite/errors.ts'
import { openPages, type Value } from './sqlite/pages.ts'
import { CODES, LETTERS } from './store.ts'

/** Milliseconds that codes rest whose texts, or whose own rests, are lost: as if those had been erased just now. */
const REST = 24 * 60 * 60 * 1000

/** Beside a code, what is less is the number of a row, and what is more a time. */
const LEAST_TIME = 1e11

/** Codes of lost texts that are told. */
const TOLD = 20

/** The place of a code among all of them; -1 for what is none. */
function placeOf(code: Value | undefined): number {
  if (typeof code !== 'string' || code.length !== 4) return -1
  let place = 0
  for (const letter of code) {
    const at = LETTERS.indexOf(letter)
    if (at < 0) return -1
    place = place * LETTERS.length + at
  }
  return place
}

type Pages = ReturnType<typeof openPages>

/** What is known of each code by its place: until when it rests, in milliseconds since 1970, 0 where it does not. */
function readPool(pages: Pages) {
  const rests = new Float64Array(CODES).fill(Number.NaN)
  /** Codes that have a text. */
  const lent = new Set<string>()
  for (const { values } of pages.cells('entries')) {
    // Of the pool, or of its index: (code, rest) or (rest, code). That of texts has (code, row).
    const [code, number] = typeof values[0] === 'string' ? values : values.toReversed()
    const place = placeOf(code)
    if (values.length !== 2 || place < 0 || !(number === null || typeof number === 'number')) continue
    if (number === null || number >= LEAST_TIME) rests[place] = Math.max(rests[place] || 0, number ?? 0)
    else lent.add(code as string)
  }
  return { rests, lent }
}

/** Whether a value is of a column's type. */
const isOf = (type: string, value: Value) =>
  value === null || { TEXT: 'string', INTEGER: 'number', BLOB: 'object' }[type.toUpperCase()] === typeof value

/** Copies the texts into `to`, and takes their codes out of its pool; returns their codes. */
function copyTexts(pages: Pages, to: Database, rests: Float64Array): Set<string> {
  const columns = to.query<{ name: string; type: string }, []>(`SELECT name, type FROM pragma_table_info('text')`).all()
  const createdAt = columns.findIndex(({ name }) => name === 'created_at')
  const take = to.query('DELETE FROM code WHERE code = ?')
  const rows = new Map<string, number>()
  for (const { rowid = 0, values } of pages.cells('rows')) {
    const [code] = values
    const place = placeOf(code)
    const isRow = values.length <= columns.length && values.every((value, at) => isOf(columns[at]?.type ?? '', value))
    if (typeof code !== 'string' || place < 0 || !isRow) continue
    // Where pages of several ages are left, a text may be there twice; or though it was erased, which it was if it was
    // written before its code came to rest.
    if (rowid < (rows.get(code) ?? 0) || (rests[place] ?? 0) > Number(values[createdAt])) continue
    // A row that was written when the table had fewer columns lacks the last ones.
    const names = columns.slice(0, values.length).map(({ name }) => name)
    try {
      to.query(`INSERT OR REPLACE INTO text (${names}) VALUES (${names.map(() => '?')})`).run(...values)
    } catch (error) {
      if (sqliteCode(error)?.startsWith('SQLITE_CONSTRAINT')) continue // It lacks what every text has: so it is none.
      throw error
    }
    take.run(code)
    rows.set(code, rowid)
  }
  return new Set(rows.keys())
}

/** Lets codes of the pool rest as they did, and those of which nothing is known for a while. Returns how many of each. */
function restCodes(to: Database, rests: Float64Array, now: number) {
  const next = to.query<{ code: string }, { after: string }>(
    'SELECT code FROM code WHERE code > $after ORDER BY code LIMIT 10000',
  )
  const rest = to.query('UPDATE code SET rests_until = ? WHERE code = ?')
  let [resting, unknown] = [0, 0]
  for (let after = ''; ; ) {
    const codes = next.all({ after })
    const last = codes.at(-1)
    if (!last) return { resting, unknown }
    after = last.code
    for (const { code } of codes) {
      const until = rests[placeOf(code)] ?? Number.NaN
      if (until <= now) continue
      if (until > now) resting++
      else unknown++
      rest.run(until || now + REST, code)
    }
  }
}

/**
 * Makes the SQLite file `to` of what can be read of the one at `from`, which is left as it is, and which nobody may use
 * meanwhile.
 * @param adapt what a smaller pool does to the migrations
 * @throws an Error of one line where there is nothing to be read, or a newer release has made it
 */
export async function rescue(
  from: string,
  to: string,
  now: number,
  say: Say,
  adapt = (database: Migratable): Migratable => database,
) {
  const pages = openPages(from)
  try {
    const { rests, lent } = readPool(pages)
    if (lent.size === 0 && rests.every(Number.isNaN)) throw new Error(`Nothing in ${from} is of extextcloud.`)
    // First to the schema that the rows are of; from there on the migrations take them along.
    const version = pages.version || migrations.length
    const { sqlite, unlock } = await openLocked(to, async (made) => {
      const database = adapt(made)
      await pendingMigrations({ ...database, applied: () => version })
      await upgrade({ ...database, migrations: database.migrations.slice(0, version) }, say)
    })
    try {
      const texts = sqlite.transaction(copyTexts)(pages, sqlite, rests)
      await upgrade(adapt(migratable(sqlite)), say)
      const { resting, unknown } = sqlite.transaction(restCodes)(sqlite, rests, now)
      const n = (count: number) => count.toLocaleString('en')
      say(`Read: ${n(texts.size)} texts, ${n(resting)} codes at rest`)
      const lost = [...lent].filter((code) => !texts.has(code) && Number.isNaN(rests[placeOf(code)])).sort()
      if (lost.length > 0) {
        say(
          `Lost: ${n(lost.length)} texts, under the codes ${lost.slice(0, TOLD).join(', ')}${lost.length > TOLD ? ' …' : ''}`,
        )
      }
      if (unknown > 0) say(`Of ${n(unknown)} codes nothing is known: they rest for a day`)
      sqlite.run('PRAGMA journal_mode = DELETE') // Nothing of it is left in a log.
    } finally {
      sqlite.close()
      unlock()
    }
  } finally {
    pages.close()
  }
}
