/**
 * The yardsticks, each a process of its own. `bare.ts http ANSWER`: a bare `Bun.serve` whose routes answer the bytes of
 * the JSON in the environment's ANSWER; for a POST it reads the body and parses it as JSON, and does nothing with it.
 * `bare.ts sqlite PATH SECONDS BODY_BYTES`: a bare `bun:sqlite` loop that runs a write's three statements in groups of 32,
 * each group an fsync; prints the writes per second.
 */
import { Database } from 'bun:sqlite'
import { randomInt } from 'node:crypto'

const [kind, path = '', seconds, bytes] = process.argv.slice(2)

if (kind === 'http') {
  const { body, headers } = JSON.parse(process.env.ANSWER ?? '') as { body: string; headers: Record<string, string> }
  const { url } = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    routes: {
      '/api/load': {
        POST: async (request) => {
          await request.json()
          return new Response(body, { headers })
        },
      },
      '/:code': { GET: () => new Response(body, { headers }) },
    },
  })
  console.log(`listens on ${url.origin}`)
} else {
  const sqlite = new Database(path, { strict: true })
  sqlite.run('PRAGMA synchronous = FULL')
  sqlite.run('PRAGMA secure_delete = ON')
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  const take = sqlite.query<{ code: string }, { from: string; now: number }>(
    `DELETE FROM code WHERE code = (SELECT code FROM code WHERE code >= $from
      AND (rests_until IS NULL OR rests_until <= $now) ORDER BY code LIMIT 1) RETURNING code`,
  )
  const insert = sqlite.query(
    `INSERT INTO text (code, body, password_hash, once, erase_token_hash, created_at, expires_at)
     VALUES ($code, $body, NULL, 0, $hash, $now, $expiresAt)`,
  )
  const body = 'x'.repeat(Number(bytes))
  const hash = Buffer.alloc(32, 1)
  const group = sqlite.transaction(() => {
    for (let i = 0; i < 32; i++) {
      const now = Date.now()
      const from = Array.from({ length: 4 }, () => LETTERS[randomInt(52)]).join('')
      const code = take.get({ from, now })?.code ?? ''
      insert.run({ code, body, hash, now, expiresAt: now + 3_600_000 })
    }
  })
  const started = performance.now()
  let writes = 0
  while (performance.now() - started < Number(seconds) * 1000) {
    group.immediate()
    writes += 32
  }
  console.log((writes / (performance.now() - started)) * 1000)
  sqlite.close()
}
