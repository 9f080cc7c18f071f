/** The same behaviour on PostgreSQL: the same files run once more, over stores there. */
import { afterAll, beforeAll, describe } from 'bun:test'
import { isMissing } from './support/postgres.ts'
import { usePostgres } from './support/support.ts'

describe.skipIf(isMissing)('on PostgreSQL', () => {
  beforeAll(() => usePostgres(true))
  afterAll(() => usePostgres(false))
  // By a name of its own: a module that this run has loaded already would not run again.
  for (const file of ['store', 'api', 'raw', 'limits', 'properties', 'receive']) require(`./${file}.test.ts?postgres`)
})
