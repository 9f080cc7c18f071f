/** Puts the sums right that are kept of the texts on PostgreSQL. */
import type { Postgres } from './connection.ts'

const there = `SELECT writer AS number, sum(octet_length(body)) AS bytes FROM text WHERE writer IS NOT NULL GROUP BY writer`

/** Whether each sum is what is there. In one statement, so that it sees both at the same moment. */
const IS_RIGHT = `SELECT NOT EXISTS (
    SELECT FROM (SELECT sum(texts) AS texts, sum(bytes) AS bytes FROM stored) AS counted
    FULL JOIN (SELECT count(*) AS texts, coalesce(sum(octet_length(body)), 0) AS bytes FROM text) AS there USING (texts, bytes)
    WHERE counted IS NULL
  ) AND NOT EXISTS (
    SELECT FROM writer FULL JOIN (${there}) AS there USING (number)
    WHERE coalesce(writer.bytes, 0) <> coalesce(there.bytes, 0)
  ) AS "isRight"`

/**
 * Counts anew where a sum is wrong: a server of the release before does not keep all of them, and may serve for a while
 * beside one of this release; and an operator's own SQL keeps none.
 */
export const recount = ({ client }: Postgres): Promise<void> =>
  client.begin(async (transaction) => {
    await transaction.unsafe('SET LOCAL statement_timeout = 0')
    const [sums] = await transaction.unsafe<{ isRight: boolean }[]>(IS_RIGHT)
    if (sums?.isRight) return
    // Nobody writes or deletes meanwhile: whoever does counts, and waits here before he has anything that others wait for.
    await transaction.unsafe('LOCK TABLE stored IN EXCLUSIVE MODE')
    await transaction.unsafe(`
      UPDATE stored SET texts = 0, bytes = 0;
      UPDATE stored SET (texts, bytes) = (SELECT count(*), coalesce(sum(octet_length(body)), 0) FROM text) WHERE part = 0;
      DELETE FROM writer;
      INSERT INTO writer ${there}`)
  })
