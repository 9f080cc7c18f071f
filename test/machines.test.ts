/** What holds where several servers share one PostgreSQL. */
import { Database } from 'bun:sqlite'
import { afterEach, describe, expect, test } from 'bun:test'
import { SQL } from 'bun'
import { openStore } from '../db/open.ts'
import { migrations } from '../db/postgres/migrations/index.ts'
import { CODES, LETTERS, type LentText } from '../db/store.ts'
import { createApp } from '../index.ts'
import { everyColumn, noColumn } from './support/columns.ts'
import { PATIENCE, poll } from './support/poll.ts'
import { checkInvariant, getCluster, isMissing, query, startCluster, startNetwork } from './support/postgres.ts'
import { post, start, stopAll } from './support/processes.ts'
import { errorCode, filledDatabase, HOUR, hash, OPTIONS, root, run, T, testSettings, text } from './support/support.ts'

afterEach(stopAll)

/** Codes that no text has: the last ones, none of which is in the small pool. */
const freeCode = (i: number) => `zz${LETTERS[Math.floor(i / 52)]}${LETTERS[i % 52]}`

/** Two apps over stores of their own on one database, as two machines have them. */
async function machines(env: Record<string, string> = {}) {
  const cluster = await getCluster()
  const url = await cluster.database()
  const settings = testSettings({ CLIENT_IP_HEADER: 'x-client', ...env })
  const limits = { ...OPTIONS, maxTexts: settings.MAX_TEXTS, maxStoredBytes: settings.MAX_STORED_BYTES }
  const clock = { now: T }
  const stores = await Promise.all([openStore(url, limits), openStore(url, limits)])
  const [here, there] = stores.map((store) => {
    const app = createApp(store, settings, () => clock.now)
    return (path: string, body: unknown, client = '192.0.2.1') =>
      app.handle(
        new Request(`http://localhost${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-client': client },
          body: JSON.stringify(body),
        }),
      )
  })
  if (!here || !there) throw new Error('There are two')
  return {
    url,
    here,
    there,
    clock,
    stores,
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()))
      checkInvariant(url)
      await cluster.drop(url)
    },
  }
}

/** A server on a database that comes and goes, and a client that expects an answer in time, and all it was promised. */
async function patient(url: string) {
  const server = await start(url, { DATABASE_TIMEOUT_SECONDS: '1', MISSES_PER_HOUR: '20' })
  const acknowledged = new Map<string, string>()
  const write = async (body: string) => {
    const asked = performance.now()
    const answer = await post(server, 'write', { text: body })
    expect(performance.now() - asked).toBeLessThan(5000)
    if (answer.status === 201) acknowledged.set(((await answer.json()) as { code: string }).code, body)
    else expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)])
    return answer.status
  }
  return {
    server,
    acknowledged,
    write,
    /** Until it works again. */
    recovers: () => poll('a write', async () => (await write('back')) === 201, 2 * PATIENCE),
    async isWhole() {
      for (const [code, body] of acknowledged) {
        expect(await (await post(server, 'load', { code })).json()).toMatchObject({ text: body })
      }
    },
  }
}

describe.skipIf(isMissing)('several machines', () => {
  test('what one has written, the other loads, erases and takes once', async () => {
    await using two = await machines()
    const written = (await (await two.here('/api/write', { text: 'a\0b 한 🍳' })).json()) as {
      code: string
      eraseToken: string
    }
    expect(await (await two.there('/api/load', { code: written.code })).json()).toMatchObject({ text: 'a\0b 한 🍳' })
    expect((await two.there('/api/erase', written)).status).toBe(422)
    const { code, eraseToken } = written
    expect((await two.there('/api/erase', { code, eraseToken })).status).toBe(204)
    expect((await two.here('/api/load', { code })).status).toBe(404)
    const once = (await (await two.here('/api/write', { text: 'a', once: true })).json()) as { code: string }
    const loads = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? two.here : two.there)('/api/load', { code: once.code })),
    )
    expect(loads.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  test('who waits on one is given what was written on the other, and each tells the writer what became of it', async () => {
    await using two = await machines()
    const lent = (await (await two.here('/api/receive', {})).json()) as { code: string; receiveToken: string }
    const { code, receiveToken } = lent
    const waits = [two.here, two.there].map((machine) => machine('/api/receive/wait', { code, receiveToken }))
    const fifty = await Promise.all(
      Array.from({ length: 50 }, (_, i) => (i % 2 ? two.here : two.there)('/api/write', { text: `${i}`, to: code })),
    )
    const won = fifty.filter(({ status }) => status === 201)
    expect(won).toHaveLength(1)
    const { eraseToken } = (await (won[0] as Response).json()) as { eraseToken: string }
    const text = String(fifty.indexOf(won[0] as Response))
    for (const wait of waits) expect(await (await wait).json()).toEqual({ text })
    await Promise.all(two.stores.map((store) => store.sweep(T)))
    expect((await two.there('/api/receive/wait', { code, receiveToken, done: true })).status).toBe(204)
    await poll('the receipt', async () => {
      const answers = await Promise.all([two.here, two.there].map((ask) => ask('/api/status', { code, eraseToken })))
      const receipts = (await Promise.all(answers.map((answer) => answer.json()))) as { state: string; loads: number }[]
      return receipts.every(({ state, loads }) => state === 'gone' && loads === 2)
    })
  })

  test('misses on one are misses on the other, also in a burst over both', async () => {
    await using two = await machines({ MISSES_PER_HOUR: '20' })
    const { code } = (await (await two.here('/api/write', { text: 'a', expiresIn: 7200 })).json()) as { code: string }
    const burst = await Promise.all(
      Array.from({ length: 60 }, (_, i) => (i % 2 ? two.here : two.there)('/api/load', { code: freeCode(i) })),
    )
    expect(burst.filter(({ status }) => status === 404)).toHaveLength(20)
    for (const machine of [two.here, two.there]) {
      expect(await errorCode(await machine('/api/load', { code }))).toBe('too_many_misses')
    }
    expect((await two.there('/api/load', { code }, '192.0.2.2')).status).toBe(200)
    two.clock.now += HOUR
    expect((await two.there('/api/load', { code })).status).toBe(200)
  })

  test('who was locked on one machine is told nothing by another that has never seen it', async () => {
    await using two = await machines({ MISSES_PER_HOUR: '3' })
    const { code } = (await (await two.here('/api/write', { text: 'a' })).json()) as { code: string }
    for (let i = 0; i < 3; i++) expect((await two.here('/api/load', { code: freeCode(i) })).status).toBe(404)
    expect(await errorCode(await two.there('/api/load', { code }))).toBe('too_many_misses')
  })

  test('wrong passwords on one and on the other add up', async () => {
    await using two = await machines()
    const { code } = (await (await two.here('/api/write', { text: 'a', password: 'right' })).json()) as { code: string }
    const statuses = []
    for (let i = 0; i < 7; i++) {
      statuses.push((await (i % 2 ? two.here : two.there)('/api/load', { code, password: 'wrong' })).status)
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429])
    expect((await two.here('/api/load', { code, password: 'right' })).status).toBe(429)
    expect((await two.there('/api/load', { code, password: 'right' }, '192.0.2.2')).status).toBe(200)
  })

  test('writes a minute, bytes a day and bytes stored are counted once for both', async () => {
    await using two = await machines({ WRITES_PER_MINUTE: '4', WRITE_BYTES_PER_DAY: '30', MAX_STORED_BYTES: '300' })
    const ask = async (machine: typeof two.here, text: string, client: string) => {
      const answer = await machine('/api/write', { text }, client)
      return answer.status === 201 ? 201 : await errorCode(answer)
    }
    // All but 50 bytes of what may be stored.
    for (let i = 0; i < 10; i++) expect(await ask(two.there, 'x'.repeat(25), `198.51.${i}.1`)).toBe(201)
    for (const machine of [two.here, two.there, two.here]) expect(await ask(machine, '1', '192.0.2.1')).toBe(201)
    expect(await ask(two.there, 'x'.repeat(28), '192.0.2.1')).toBe('too_many_bytes')
    expect(await ask(two.there, '1', '192.0.2.1')).toBe(201)
    expect(await ask(two.here, '1', '192.0.2.1')).toBe('too_many_requests')
    expect(await ask(two.here, 'x'.repeat(25), '10.0.0.2')).toBe(201)
    expect(await ask(two.there, 'x'.repeat(25), '10.0.0.3')).toBe('storage_full')
    expect(await ask(two.there, 'x'.repeat(21), '10.0.0.3')).toBe(201)
  })

  test('however many write at once on two, none of the limits of what is stored is exceeded', async () => {
    for (const [limits, writers, size] of [
      [{ MAX_TEXTS: '150' }, [null], 10],
      [{ MAX_STORED_BYTES: '3000' }, [null], 20],
      [{ MAX_STORED_BYTES: '15000' }, [1], 10],
    ] as const) {
      await using two = await machines(limits)
      const written = await Promise.allSettled(
        Array.from({ length: 600 }, (_, i) =>
          two.stores[i % 2]?.write(text('x'.repeat(size), { writer: writers[0] }), T),
        ),
      )
      expect(written.filter(({ status }) => status === 'fulfilled')).toHaveLength(150)
      for (const result of written) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ reason: 'storage_full' })
      }
    }
  })

  test('what others did without counting it is counted within the hour', async () => {
    await using two = await machines()
    const [here, there] = two.stores
    if (!here || !there) throw new Error('There are two')
    for (let i = 0; i < 4; i++) await here.write(text(`${i}`, { writer: i % 2, expiresAt: T + 2 * HOUR }), T)
    await here.sweep(T)
    // As a server of the release before does: it knows of no writers, and counts bytes alone.
    query(
      two.url,
      `WITH gone AS (DELETE FROM text WHERE body = '0' RETURNING code) INSERT INTO code SELECT code FROM gone`,
    )
    query(two.url, 'UPDATE stored SET bytes = bytes - 1 WHERE part = 7')
    await here.sweep(T + HOUR - 1)
    expect(here.known()).toEqual({ texts: 4, bytes: 3 })
    await Promise.all([here, there].map((store) => store.sweep(T + HOUR)))
    for (const store of [here, there]) expect(store.known()).toEqual({ texts: 3, bytes: 3 })
    expect(query(two.url, 'SELECT * FROM writer ORDER BY number')).toEqual([
      { number: 0, bytes: 1 },
      { number: 1, bytes: 2 },
    ])
  })

  test('those who write, erase, load what has expired and sweep at once never wait for each other in vain', async () => {
    const cluster = await getCluster()
    const url = await cluster.database()
    // More connections together than the sums have parts, so that some count in the same one.
    const stores = await Promise.all([1, 2].map(() => openStore(url, { ...OPTIONS, connections: 50 })))
    const gone = hash('all')
    const later = T + 60_000
    await Promise.all(
      Array.from({ length: 16 }, async (_, i) => {
        const store = stores[i % 2]
        for (let round = 0; round < 25; round++) {
          const writing = Array.from({ length: 24 }, (_, n) =>
            store?.write(text(`${i} ${n}`, { writer: (7 * i + 5 * n + round) % 11, eraseTokenHash: gone }), T),
          )
          const [, ...others] = await Promise.all(writing)
          await Promise.all(
            others.map((code = '', n) => (n % 2 ? store?.erase(code, gone, T) : store?.load(code, later))),
          )
          if (i < 2) await store?.sweep(later)
        }
      }),
    )
    for (const store of stores) {
      await store.sweep(later)
      await store.close()
    }
    checkInvariant(url)
    expect(query(url, 'SELECT * FROM writer WHERE bytes <> 0')).toEqual([])
    await cluster.drop(url)
  })

  test('a refused write gives nobody a longer day', async () => {
    await using two = await machines({ WRITE_BYTES_PER_DAY: '100' })
    const write = (size: number) => two.here('/api/write', { text: 'x'.repeat(size) })
    expect((await write(90)).status).toBe(201)
    two.clock.now += 23 * HOUR
    const refused = await write(50)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '3600'])
    two.clock.now += HOUR
    expect((await write(90)).status).toBe(201)
  })

  test('the sweep removes counters that have ended', async () => {
    await using two = await machines({ MISSES_PER_HOUR: '20' })
    for (let i = 0; i < 5; i++) await two.here('/api/load', { code: freeCode(i) }, `192.0.2.${i}`)
    const counted = () => query<{ key: string }>(two.url, 'SELECT key FROM counter').map(({ key }) => key.split(' ')[0])
    expect(counted().filter((limit) => limit === 'misses')).toHaveLength(5)
    await two.stores[0]?.sweep(T + HOUR)
    expect(counted()).not.toContain('misses')
    await two.stores[0]?.sweep(T + 24 * HOUR)
    expect(counted()).toEqual([])
  })

  test('of more counters than the table may have, those stay that end last', async () => {
    await using two = await machines()
    const client = new SQL(two.url, { max: 1 })
    await client.unsafe(`INSERT INTO counter SELECT n, 1, ${T} + n FROM generate_series(1, 1000100) AS n`)
    await client.close()
    await two.stores[0]?.sweep(T)
    expect(query(two.url, 'SELECT count(*) AS n, min(ends_at) AS first FROM counter')).toEqual([
      { n: 1_000_000, first: T + 101 },
    ])
  })

  test('two that sweep at once sweep each text once, while others are written and loaded', async () => {
    await using two = await machines()
    const [one, other] = two.stores
    if (!one || !other) throw new Error('There are two')
    const expiring = Array.from({ length: 3000 }, (_, i) => one.write(text(`${i}`), T))
    const codes = await Promise.all(expiring)
    const later = T + 60_000
    const [swept, alsoSwept, written] = await Promise.all([
      one.sweep(later),
      other.sweep(later),
      Promise.all(codes.slice(0, 100).map((_, i) => other.write(text(`new ${i}`, { expiresAt: later + 1000 }), later))),
      ...codes.slice(2900).map((code) => one.load(code, later)),
    ])
    expect(swept + alsoSwept).toBeGreaterThanOrEqual(2900)
    expect(swept + alsoSwept).toBeLessThanOrEqual(3000)
    expect(query(two.url, 'SELECT code FROM text ORDER BY code')).toEqual(written.sort().map((code) => ({ code })))
  })

  test('two that start at once on an empty database migrate it once, to the tables that SQLite has', async () => {
    const cluster = await getCluster()
    const url = await cluster.database('empty')
    const stores = await Promise.all([openStore(url, OPTIONS), openStore(url, OPTIONS)])
    for (const store of stores) await store.close()
    expect(
      query(
        url,
        `SELECT count(*) AS n, count(DISTINCT code) AS codes, min(code) AS first, max(code) AS last,
        count(*) FILTER (WHERE code ~ '^[A-Za-z]{4}$') AS letters FROM code`,
      ),
    ).toEqual([{ n: CODES, codes: CODES, first: 'AAAA', last: 'zzzz', letters: CODES }])
    checkInvariant(url, CODES)

    using sqlite = new Database(await filledDatabase())
    for (const table of ['code', 'text']) {
      const columns = sqlite
        .query<{ name: string; notnull: number; pk: number }, []>(
          `SELECT name, "notnull", pk FROM pragma_table_info('${table}')`,
        )
        .all()
      expect(
        query(
          url,
          `SELECT column_name AS name, (is_nullable = 'NO')::int AS "notnull", EXISTS (SELECT FROM
          information_schema.key_column_usage AS k WHERE k.table_name = c.table_name AND k.column_name = c.column_name)::int AS pk
          FROM information_schema.columns AS c WHERE table_name = ? AND table_schema = 'public' ORDER BY ordinal_position`,
          table,
        ),
      ).toEqual(columns)
    }

    const code = await openStore(url, OPTIONS).then(async (store) => {
      const code = await store.write(text('kept'), T)
      await store.close()
      return code
    })
    const toEmptyPool = async () => {
      for (const { name } of migrations.slice(1).reverse()) {
        expect(await run('db:downgrade', url)).toEqual([`Took back ${name}`])
      }
    }
    await toEmptyPool()
    expect((await run('db:status', url))[1]).toContain(`1 of ${migrations.length} applied, 0001_fill_pool pending`)
    await run('db:upgrade', url)
    checkInvariant(url, CODES)
    expect(query(url, 'SELECT code FROM text')).toEqual([{ code }])
    expect((await run('db:status', url)).slice(2)).toEqual([
      'texts       1, 4 bytes; 0 expired and not yet swept',
      'codes       7,311,615 in the pool; 0 of them at rest',
      'receiving   0 codes wait for a text; 0 texts wait to be fetched',
      'receipts    0',
    ])
    await toEmptyPool()
    expect((await run('db:downgrade', url))[0]).toContain('this will be lost: texts (1)')
    expect(query(url, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)).toEqual([
      { tablename: 'migration' },
    ])
    await expect(run('db:backup', url, 'x')).rejects.toThrow('For PostgreSQL use pg_dump.')
    await cluster.drop(url)
  })

  test('a SQLite file moves to PostgreSQL with every column and every rest, also if broken off, and again without harm', async () => {
    const cluster = await getCluster()
    const path = await filledDatabase(CODES)
    const from = await openStore(path, OPTIONS)
    const codes = await Promise.all(
      Array.from({ length: 1200 }, (_, i) =>
        from.write(text(`${i}\0한`, { ...(i % 2 ? everyColumn : noColumn), expiresAt: T + 60_000 + i }), T),
      ),
    )
    const gone = codes[0] ?? ''
    await from.erase(gone, text('0\0한').eraseTokenHash, T)
    for (let i = 0; i < 3; i++) from.countLoad((await from.load(codes[1] ?? '', T)) as LentText, T + i)
    await from.close()
    const url = await cluster.database('empty')
    await run('db:upgrade', url)

    // Broken off while it waits for a code that somebody holds, after two of its three transactions.
    const shell = new SQL(url, { max: 1 })
    await shell.begin(async (transaction) => {
      await transaction.unsafe(`SELECT FROM code WHERE code = '${codes.slice(1).toSorted().at(-1)}' FOR UPDATE`)
      const broken = Bun.spawn(['bun', 'index.ts', 'db:move', path], {
        cwd: root,
        env: { ...Bun.env, DATABASE_URL: url },
      })
      const moved = () => query<{ n: number }>(url, 'SELECT count(*) AS n FROM text')[0]?.n
      await poll('two transactions', async () => moved() === 1000, 4 * PATIENCE)
      broken.kill('SIGKILL')
      await broken.exited
    })
    await shell.close()

    for (let round = 0; round < 2; round++) {
      expect((await run('db:move', url, path)).at(-1)).toBe(
        'Copied and counted: 1,199 texts, 8,485 bytes, 1 rests, 2 receipts',
      )
    }
    checkInvariant(url, CODES)
    const to = await openStore(url, OPTIONS)
    const again = await openStore(path, OPTIONS)
    for (const code of codes) expect(await to.load(code, T)).toEqual(await again.load(code, T))
    expect(query(url, 'SELECT rests_until FROM code WHERE code = ?', gone)).toEqual([{ rests_until: T + 86_400_000 }])
    for (const body of ['0\0한', '1\0한']) {
      const { eraseTokenHash } = text(body)
      expect(await to.receipt(eraseTokenHash, T)).toEqual(await again.receipt(eraseTokenHash, T))
    }
    await to.close()
    await again.close()
    await cluster.drop(url)
  })

  test('ten processes that write, load and erase, and are killed, lose no acknowledged text and lend no code twice', async () => {
    const cluster = await getCluster()
    const url = await cluster.database()
    const acknowledged = new Map<string, string>()
    const servers = await Promise.all(Array.from({ length: 10 }, () => start(url, { DATABASE_CONNECTIONS: '5' })))
    await Promise.all(
      servers.map(async (server, at) => {
        const isKilled = at % 2 === 0
        let written = 0 // Never that many where it is not killed.
        await Promise.all(
          Array.from({ length: 4 }, async (_, writer) => {
            for (let i = 0; i < 60; i++) {
              const body = `${at} ${writer} ${i}`
              try {
                const answer = await post(server, 'write', { text: body, expiresIn: 3600 })
                const { code, eraseToken } = (await answer.json()) as { code: string; eraseToken: string }
                expect(answer.status).toBe(201)
                expect(acknowledged.has(code)).toBe(false)
                if (i % 3 === 0) await post(server, 'erase', { code, eraseToken })
                else acknowledged.set(code, body)
              } catch (error) {
                if (written >= 100) return
                throw error
              }
              if (isKilled && ++written === 100) server.process.kill('SIGKILL')
            }
          }),
        )
      }),
    )
    const store = await openStore(url, OPTIONS)
    for (const [code, body] of acknowledged) expect((await store.load(code, Date.now()))?.body).toBe(body)
    await store.close()
    for (const { process } of servers) process.kill('SIGKILL')
    await Promise.all(servers.map(({ process }) => process.exited))
    checkInvariant(url)
    await cluster.drop(url)
  })

  test('of many that take codes to wait under while the database stands still, none waits for the others', async () => {
    const cluster = await getCluster()
    const url = await cluster.database()
    const store = await openStore(url, { ...OPTIONS, timeoutSeconds: 1 })
    const shell = new SQL(url, { max: 1 })
    const take = () => store.write(text('', { receiveTokenHash: hash('token') }), T)
    await shell.begin(async (transaction) => {
      await transaction.unsafe('LOCK TABLE text')
      const asked = performance.now()
      const taken = await Promise.allSettled(Array.from({ length: 20 }, take))
      for (const code of taken) expect(code).toMatchObject({ status: 'rejected', reason: { reason: 'busy' } })
      expect(performance.now() - asked).toBeLessThan(4000)
    })
    expect(await take()).toMatch(/^[A-Za-z]{4}$/)
    await shell.close()
    await store.close()
    await cluster.drop(url)
  })

  test('a pooler that lends connections for one transaction is no hindrance', async () => {
    const cluster = await getCluster()
    const url = await cluster.database()
    const pooler = await cluster.pooler()
    try {
      const pooled = `${pooler.url}${new URL(url).pathname}`
      const server = await start(pooled, {
        DATABASE_POOLER: 'transaction',
        DATABASE_CONNECTIONS: '20',
        MISSES_PER_HOUR: '20',
      })
      await Promise.all(
        Array.from({ length: 300 }, async (_, i) => {
          const { code } = (await (await post(server, 'write', { text: `${i}` })).json()) as { code: string }
          expect(await (await post(server, 'load', { code })).json()).toMatchObject({ text: `${i}` })
        }),
      )
      expect((await run('db:status', pooled))[2]).toMatch(/^texts {7}300, /)
      expect(await server.stop()).toBe(0)
    } finally {
      await pooler.stop()
    }
    checkInvariant(url)
    await cluster.drop(url)
  })

  test('a database that has no connection left is a 503, and serves with those that it gave', async () => {
    const cluster = await getCluster()
    const url = await cluster.database()
    const shell = new SQL(url, { max: 1 })
    await shell.unsafe(
      `CREATE ROLE limited LOGIN CONNECTION LIMIT 2; GRANT ALL ON ALL TABLES IN SCHEMA public TO limited`,
    )
    const server = await start(url.replace('postgres@', 'limited@'), { DATABASE_CONNECTIONS: '8' })
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => post(server, 'write', { text: `${i}` })))
    for (const answer of answers) {
      if (answer.status !== 201) expect([answer.status, await errorCode(answer)]).toEqual([503, 'busy'])
    }
    const stored = answers.filter(({ status }) => status === 201)
    expect(stored.length).toBeGreaterThan(0)
    expect(query(url, 'SELECT count(*)::int AS n FROM text')).toEqual([{ n: stored.length }])
    expect(await server.stop()).toBe(0)
    await shell.unsafe('DROP OWNED BY limited; DROP ROLE limited')
    await shell.close()
    checkInvariant(url)
    await cluster.drop(url)
  })

  test('the operator finds and erases a text, and the metrics count it', async () => {
    const cluster = await getCluster()
    const url = await cluster.database()
    const server = await start(url, { METRICS_PORT: '0' })
    const { code } = (await (await post(server, 'write', { text: 'abuse' })).json()) as { code: string }
    const metrics = await server.metrics()
    for (const line of ['extextcloud_texts 1\n', 'extextcloud_stored_bytes 5\n']) expect(metrics).toContain(line)
    expect((await run('text:find', url, code)).at(-1)).toBe('text        "abuse"')
    await run('text:erase', url, code)
    expect((await post(server, 'load', { code })).status).toBe(404)
    await expect(run('text:find', url, code)).rejects.toThrow(`There is no text with the code ${code}.`)
    server.process.kill('SIGKILL')
    await server.process.exited
    checkInvariant(url)
    await cluster.drop(url)
  })

  test('with sslmode=require the connections are encrypted', async () => {
    const own = await startCluster(['ssl=on'])
    try {
      const url = await own.database()
      const store = await openStore(`${url}?sslmode=require`, OPTIONS)
      const code = await store.write(text('a'), T)
      expect((await store.load(code, T))?.body).toBe('a')
      expect(
        query(
          url,
          `SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'extextcloud'`,
        ),
      ).toEqual([{ ssl: true }])
      await store.close()
    } finally {
      await own.stop()
    }
  })

  test('a database that restarts, goes away and stands still is a 503 in time, loses nothing, and is used again', async () => {
    const own = await startCluster()
    try {
      const url = await own.database()
      const { server, write, recovers, isWhole } = await patient(url)
      let isOver = false
      let at = 0
      const load = Promise.all(
        Array.from({ length: 8 }, async () => {
          while (!isOver) await write(`${at++}`)
        }),
      )
      await own.restart()
      await recovers()
      await own.pause()
      for (let i = 0; i < 5; i++) expect(await write('gone')).toBe(503)
      const guess = await post(server, 'load', { code: 'AbCd' })
      expect([guess.status, await errorCode(guess)]).toEqual([503, 'busy'])
      expect((await fetch(`${server.url}/health`)).status).toBe(503)
      await own.start()
      await recovers()
      expect(await server.output()).toMatch(/"level":"error",.*"msg":"[^"]*connect[^"]*"/i) // The operator reads why.
      const pids = () =>
        query<{ pid: number }>(url, `SELECT pid FROM pg_stat_activity WHERE application_name = 'extextcloud'`)
      const still = pids().map(({ pid }) => pid)
      expect(still.length).toBeGreaterThan(0)
      for (const pid of still) process.kill(pid, 'SIGSTOP')
      isOver = true
      await load
      await recovers()
      for (const pid of still) process.kill(pid, 'SIGCONT')
      // A table that an operator has locked: what waits for it is given up by the server.
      const shell = new SQL(url, { max: 1 })
      await shell.begin(async (transaction) => {
        await transaction.unsafe('LOCK TABLE code')
        expect(await write('locked')).toBe(503)
      })
      await shell.close()
      await recovers()
      await isWhole()
      server.process.kill('SIGKILL')
      await server.process.exited
      checkInvariant(url)
    } finally {
      await own.stop()
    }
  })

  test('a standby takes the place of its primary, and a network falls silent: 503 in time, and nothing is lost', async () => {
    const own = await startCluster()
    const network = await startNetwork(own.port)
    try {
      const url = await own.database()
      const standby = await own.standby()
      const { server, acknowledged, write, recovers, isWhole } = await patient(network.address(url))
      expect(await write('before')).toBe(201)
      const [code] = acknowledged.keys()

      // The address leads to a standby that is not promoted yet: it reads, but counts and writes nothing.
      network.port = standby.port
      network.cut()
      expect(await write('too early')).toBe(503)
      const early = await post(server, 'load', { code })
      expect([early.status, await errorCode(early)]).toEqual([503, 'busy'])
      // It leads to the primary again, though nothing has ended the connections to the standby.
      network.port = own.port
      await recovers()
      await own.pause()
      network.port = standby.port
      await standby.promote()
      await recovers()

      network.fallSilent()
      expect(await write('into the void')).toBe(503)
      expect(await write('into the void, by a new connection')).toBe(503)
      expect((await fetch(`${server.url}/health`)).status).toBe(503)
      network.speak()
      await recovers()

      // The primary becomes one that can only be read, while the connections stay.
      const there = url.replace(`:${own.port}/`, `:${standby.port}/`)
      query(there, 'ALTER SYSTEM SET default_transaction_read_only = on')
      query(there, 'DO $$ BEGIN PERFORM pg_reload_conf(); END $$')
      await poll('the setting', async () => (await write('read only')) === 503)
      query(there, 'ALTER SYSTEM RESET default_transaction_read_only')
      query(there, 'DO $$ BEGIN PERFORM pg_reload_conf(); END $$')
      await recovers()
      await isWhole()
      server.process.kill('SIGKILL')
      await server.process.exited
      checkInvariant(there)
    } finally {
      network.stop()
      await own.stop()
    }
  })
})
