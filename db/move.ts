/** Copies a SQLite file's texts and rests to PostgreSQL: `db:move FROM`. */
import type { Database } from 'bun:sqlite'
import type { SQL } from 'bun'
import type { Say } from './migrate.ts'

/** Rows that one statement copies: a broken move goes on from there. */
const AT_ONCE = 500

interface TextRow {
  code: string
  body: Uint8Array
  password_hash: string | null
  once: number
  erase_token_hash: Uint8Array
  created_at: number
  expires_at: number
}

/**
 * Copies every text, with its expiry, password hash and erase token, and every rest of a code. What is there already is
 * left alone, so a move that was broken off is simply run again.
 * @throws an Error of one line where a code has another text there, or the counts do not agree afterwards
 */
export async function move(from: Database, to: SQL, say: Say) {
  const texts = from.query<TextRow, { after: string }>(
    `SELECT code, CAST(body AS BLOB) AS body, password_hash, once, erase_token_hash, created_at, expires_at
     FROM text WHERE code > $after ORDER BY code LIMIT ${AT_ONCE}`,
  )
  const counted = { texts: 0, bytes: 0, rests: 0 }
  for (let after = ''; ; ) {
    const rows = texts.all({ after })
    const last = rows.at(-1)
    if (!last) break
    after = last.code
    counted.texts += rows.length
    for (const row of rows) counted.bytes += row.body.byteLength
    await to.begin(async (transaction) => {
      for (const row of rows) {
        const [same] = await transaction.unsafe<{ same: boolean }[]>(
          `WITH drawn AS (DELETE FROM code WHERE code = $1 RETURNING code),
            counted AS (UPDATE stored SET bytes = bytes + octet_length($2::bytea) WHERE part = 0 AND EXISTS (SELECT FROM drawn)),
            added AS (INSERT INTO text SELECT code, $2::bytea, $3::text, $4::boolean, $5::bytea, $6::bigint, $7::bigint
              FROM drawn RETURNING code)
          SELECT EXISTS (SELECT FROM added UNION ALL
            SELECT FROM text WHERE code = $1 AND erase_token_hash = $5::bytea) AS same`,
          [
            row.code,
            Buffer.from(row.body),
            row.password_hash,
            row.once === 1,
            Buffer.from(row.erase_token_hash),
            row.created_at,
            row.expires_at,
          ],
        )
        if (!same?.same) throw new Error(`Another text has the code ${row.code} there: the databases cannot be joined.`)
      }
    })
  }

  const rests = from.query<{ code: string; rests_until: number }, { after: string }>(
    `SELECT code, rests_until FROM code WHERE rests_until IS NOT NULL AND code > $after ORDER BY code LIMIT ${AT_ONCE}`,
  )
  for (let after = ''; ; ) {
    const rows = rests.all({ after })
    const last = rows.at(-1)
    if (!last) break
    after = last.code
    counted.rests += rows.length
    await to.unsafe(
      `UPDATE code SET rests_until = greatest(code.rests_until, moved.rests_until)
       FROM unnest($1::text[], $2::bigint[]) AS moved (code, rests_until) WHERE code.code = moved.code`,
      [
        to.array(
          rows.map((row) => row.code),
          'TEXT',
        ),
        to.array(
          rows.map((row) => row.rests_until),
          'BIGINT',
        ),
      ],
    )
  }

  const [there] = await to.unsafe<{ texts: number; bytes: number; rests: number }[]>(
    `SELECT count(*)::float8 AS texts, coalesce(sum(octet_length(body)), 0)::float8 AS bytes,
      (SELECT count(*) FROM code WHERE rests_until IS NOT NULL)::float8 AS rests FROM text`,
  )
  const isWhole = there?.texts === counted.texts && there.bytes === counted.bytes && there.rests === counted.rests
  const told = ({ texts, bytes, rests }: typeof counted) =>
    `${texts.toLocaleString('en')} texts, ${bytes.toLocaleString('en')} bytes, ${rests.toLocaleString('en')} rests`
  if (!there || !isWhole) {
    throw new Error(
      `There are ${told(counted)} here, but ${there ? told(there) : 'nothing'} there. Nothing was deleted.`,
    )
  }
  say(`Copied and counted: ${told(counted)}`)
}
