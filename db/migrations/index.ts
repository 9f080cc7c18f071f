/** Every migration of an SQLite file in its order: the way up as drizzle-kit named it, the way down written by hand. */
import { type Listed, withSql } from '../migrate.ts'
import { readSqlFiles } from './files.ts' with { type: 'macro' }

/** What nothing but the tables themselves can hold. */
export const everything = `SELECT (SELECT count(*) FROM text) AS texts,
  (SELECT count(*) FROM code WHERE rests_until IS NOT NULL) AS "rest periods of codes"`

/** What else came from networks, and is counted for none afterwards. */
export const writers = `SELECT count(writer) AS "writers of texts" FROM text`

/** Sealed texts, which nobody can open afterwards. */
export const sealed = `SELECT count(seal) AS "sealed texts" FROM text`

/** What only a receive token opens, and what writers would have been told. */
export const received = `SELECT count(receive_token_hash) AS "codes that wait, or texts that are to be fetched",
  (SELECT count(*) FROM receipt) AS receipts FROM text`

const list: Listed[] = [
  { name: '0000_create_code_and_text', losses: everything },
  {
    name: '0001_fill_pool',
    announce: 'Filling the pool with 7,311,616 codes (84 MB on disk, a few seconds)',
  },
  { name: '0002_index_resting_codes' },
  { name: '0003_count_writers', losses: writers },
  { name: '0004_seal', losses: sealed },
  { name: '0005_receive', losses: received },
]

export const migrations = withSql(list, readSqlFiles('migrations'))
