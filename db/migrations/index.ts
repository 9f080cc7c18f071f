/** Every migration in its order: the way up as drizzle-kit named it, the way down written by hand. */

import createDown from './0000_create_code_and_text.down.sql' with { type: 'text' }
import createUp from './0000_create_code_and_text.sql' with { type: 'text' }
import fillDown from './0001_fill_pool.down.sql' with { type: 'text' }
import fillUp from './0001_fill_pool.sql' with { type: 'text' }
import indexDown from './0002_index_resting_codes.down.sql' with { type: 'text' }
import indexUp from './0002_index_resting_codes.sql' with { type: 'text' }
import postgresCreateDown from './postgres/0000_create_code_and_text.down.sql' with { type: 'text' }
import postgresCreateUp from './postgres/0000_create_code_and_text.sql' with { type: 'text' }
import postgresFillDown from './postgres/0001_fill_pool.down.sql' with { type: 'text' }
import postgresFillUp from './postgres/0001_fill_pool.sql' with { type: 'text' }
import postgresIndexDown from './postgres/0002_index_resting_codes.down.sql' with { type: 'text' }
import postgresIndexUp from './postgres/0002_index_resting_codes.sql' with { type: 'text' }

export interface Migration {
  name: string
  up: string
  down: string
  /** What to tell the operator before the way up, where it takes a while. */
  announce?: string
  /** A query of one row that counts, by name, what the way down cannot keep. */
  losses?: string
}

const losses = `SELECT (SELECT count(*) FROM text) AS texts,
  (SELECT count(*) FROM code WHERE rests_until IS NOT NULL) AS "rest periods of codes"`

export const migrations: Migration[] = [
  {
    name: '0000_create_code_and_text',
    up: createUp,
    down: createDown,
    losses,
  },
  {
    name: '0001_fill_pool',
    up: fillUp,
    down: fillDown,
    announce: 'Filling the pool with 7,311,616 codes (84 MB on disk, a few seconds)',
  },
  { name: '0002_index_resting_codes', up: indexUp, down: indexDown },
]

export const postgresMigrations: Migration[] = [
  { name: '0000_create_code_and_text', up: postgresCreateUp, down: postgresCreateDown, losses },
  {
    name: '0001_fill_pool',
    up: postgresFillUp,
    down: postgresFillDown,
    announce: 'Filling the pool with 7,311,616 codes (420 MB in the database, ten seconds or more)',
  },
  { name: '0002_index_resting_codes', up: postgresIndexUp, down: postgresIndexDown },
]
