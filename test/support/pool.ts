/** The small pool that most tests have: a full one takes seconds to fill, and 84 MB to copy, for each. */
import type { Migratable } from '../../db/migrate.ts'
import { LETTERS } from '../../db/store.ts'

export const SMALL_POOL = 20_000

/** Codes from all over the full pool, its first, its last, and one that tests name. */
function smallPool(): string[] {
  const codes = new Set(['zzzz', 'AbCd'])
  for (let at = 0; codes.size < SMALL_POOL; at += 365) {
    codes.add([3, 2, 1, 0].map((place) => LETTERS[Math.floor(at / 52 ** place) % 52]).join(''))
  }
  return [...codes]
}

/** The same database, but for the migration that fills its pool, which fills in a small one. */
export const withSmallPool = (database: Migratable): Migratable => ({
  ...database,
  migrations: database.migrations.map((migration) => {
    if (migration.name !== '0001_fill_pool') return migration
    return { ...migration, up: `INSERT INTO code (code) VALUES ${smallPool().map((code) => `('${code}')`)}` }
  }),
})
