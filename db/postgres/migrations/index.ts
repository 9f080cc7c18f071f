/** Every migration of a PostgreSQL database in its order: named as those of SQLite, the way down written by hand. */
import { type Listed, withSql } from '../../migrate.ts'
import { readSqlFiles } from '../../migrations/files.ts' with { type: 'macro' }
import { everything, received, sealed, writers } from '../../migrations/index.ts'

const list: Listed[] = [
  { name: '0000_create_code_and_text', losses: everything },
  {
    name: '0001_fill_pool',
    announce: 'Filling the pool with 7,311,616 codes (420 MB in the database, ten seconds or more)',
  },
  { name: '0002_index_resting_codes' },
  { name: '0003_count_writers', losses: writers },
  { name: '0004_seal', losses: sealed },
  { name: '0005_receive', losses: received },
]

export const migrations = withSql(list, readSqlFiles('postgres/migrations'))
