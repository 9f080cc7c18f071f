import { afterEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { poll } from './support/poll.ts'
import { load, post, start, stopAll, write } from './support/processes.ts'
import { canMount, NAMESPACE } from './support/small-disk.ts'
import { checkInvariant, filledDatabase, openShell, root, temporaryPath, testStore, text } from './support/support.ts'

afterEach(stopAll)

test('the server says where it listens and where the data is', async () => {
  const path = await filledDatabase()
  const server = await start(path)
  expect(await server.output()).toBe(`extextcloud listens on ${server.url}\nThe data is in ${path}\n`)
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})

test('a first start makes the folder and the database, and says so', async () => {
  const path = join(temporaryPath('folder'), 'deep/new.db')
  const server = await start(path)
  expect(await server.output()).toContain('Filling the pool with 7,311,616 codes')
  const code = await write(server, 'first')
  expect(await load(server, code)).toBe('first')
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
})

test('a start that cannot be ends with one line that says why', async () => {
  const path = await filledDatabase()
  const running = await start(path)
  const port = new URL(running.url).port
  const folder = temporaryPath('a-folder')
  mkdirSync(folder)
  const rubbish = temporaryPath('rubbish.db')
  writeFileSync(rubbish, 'This is no database, though it is long enough to be taken for the head of one.'.repeat(50))
  const wrong: [env: Record<string, string>, line: RegExp][] = [
    [{ PORT: 'http' }, /^extextcloud: PORT is "http", but it must be a whole number from 0 to 65535\.\n$/],
    [{ DATABASE_URL: path, PORT: '0' }, /^extextcloud: Another process is using \S+: stop it first\.\n$/],
    [
      { DATABASE_URL: await filledDatabase(), PORT: port },
      /^extextcloud: .*in use.* Set PORT, METRICS_PORT or HOST to another\.\n$/,
    ],
    [{ DATABASE_URL: folder }, /^extextcloud: \S.*\n$/],
    [{ DATABASE_URL: rubbish }, /^extextcloud: \S+ is not a database of extextcloud\. Nothing was changed\.\n$/],
    [{ DATABASE_URL: '/proc/extextcloud.db' }, /^extextcloud: Cannot open \/proc.*\n$/],
  ]
  for (const [env, line] of wrong) {
    const process = Bun.spawn(['bun', 'index.ts'], {
      cwd: root,
      env: { PATH: Bun.env.PATH ?? '', HOST: '127.0.0.1', DATABASE_URL: path, ...env },
      stdout: 'pipe',
      stderr: 'pipe',
    })
    expect([env, await process.exited]).toEqual([env, 1])
    expect(await new Response(process.stderr).text()).toMatch(line)
  }
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} finishes the answers in flight, keeps what it acknowledged, and exits 0 though connections idle`, async () => {
    const path = await filledDatabase()
    const server = await start(path, { CLIENT_IP_HEADER: 'x-client', METRICS_PORT: '0' })
    const port = Number(new URL(server.url).port)
    // Connections that idle: one that never asked, one that was answered and is kept alive, one half through its head.
    const idle = await Promise.all(
      ['', 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n', 'POST /api/write HTTP/1.1\r\nHost: a\r\n'].map(
        (sent) =>
          new Promise<ReturnType<typeof connect>>((resolve) => {
            const socket = connect(port, '127.0.0.1', () => {
              socket.write(sent)
              if (sent.startsWith('GET')) socket.once('data', () => resolve(socket))
              else resolve(socket)
            })
            socket.on('error', () => {})
          }),
      ),
    )
    // Slow answers: each waits for its hash, and more than half of them for a core. Each client has a share of the queue.
    const count = 2 * availableParallelism() + 1
    const writes = Array.from({ length: count }, (_, i) =>
      fetch(server.url, {
        method: 'POST',
        headers: { 'x-client': `198.51.${i}.1`, authorization: `Basic ${btoa(':p')}` },
        body: `text ${i}`,
      }),
    )
    let answered = 0
    for (const write of writes) write.then(() => answered++)
    await poll('every write to have arrived', async () => {
      const hashes = (await server.metrics()).matchAll(/^extextcloud_password_hashes\{.*\} (\d+)$/gm)
      return answered + [...hashes].reduce((sum, [, hashing]) => sum + Number(hashing), 0) === count
    })
    const signalled = performance.now()
    server.process.kill(signal)
    server.process.kill(signal)
    const answers = await Promise.all(writes)
    expect(answers.map((answer) => answer.status)).toEqual(Array(count).fill(201))
    expect(await server.process.exited).toBe(0)
    expect(performance.now() - signalled).toBeLessThan(5000)
    for (const socket of idle) socket.destroy()
    await expect(fetch(`${server.url}/health`)).rejects.toThrow()
    await using stored = await testStore({ path })
    expect(stored.query('SELECT count(*) AS n FROM text')).toEqual([{ n: count }])
  })
}

test('a stop while another process holds the file exits 0 all the same', async () => {
  const path = await filledDatabase()
  const server = await start(path)
  using shell = openShell(path)
  shell.run('BEGIN IMMEDIATE')
  expect((await post(server, 'write', { text: 'a' })).status).toBe(503)
  expect(await server.stop()).toBe(0)
  shell.run('ROLLBACK')
})

test('a client that goes while its password is checked takes nothing', async () => {
  const path = await filledDatabase()
  const server = await start(path)
  const written = await post(server, 'write', { text: 'a', once: true, password: 'p' })
  const { code } = (await written.json()) as { code: string }
  // Others keep Argon2 busy meanwhile.
  const others = Array.from({ length: 8 }, () => post(server, 'write', { text: 'b', password: 'p' }))
  const leaving = new AbortController()
  const load = fetch(`${server.url}/${code}`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(':p')}` },
    signal: leaving.signal,
  })
  await fetch(`${server.url}/health`) // By now the load has arrived.
  leaving.abort()
  await expect(load).rejects.toThrow()
  await Promise.all(others)
  expect(((await (await post(server, 'load', { code, password: 'p' })).json()) as { text: string }).text).toBe('a')
})

test('a client that is gone at once takes nothing that can be read only once', async () => {
  const server = await start(await filledDatabase())
  const { hostname, port } = new URL(server.url)
  let kept = 0
  for (let i = 0; i < 20; i++) {
    const { code } = (await (await post(server, 'write', { text: 'a', once: true })).json()) as { code: string }
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(`POST /${code} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`)
        socket.resetAndDestroy()
      })
      socket.once('close', () => resolve())
    })
    await fetch(`${server.url}/health`) // By now the load has arrived.
    if ((await load(server, code)) === 'a') kept++
  }
  // On a busy machine one may be answered before it is gone.
  expect(kept).toBeGreaterThan(15)
})

test('a request without a Host is sent to the canonical origin', async () => {
  const server = await start(await filledDatabase(), { PUBLIC_URL: 'https://www.example.com' })
  for (const head of ['GET / HTTP/1.0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n']) {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(head))
      let received = ''
      socket.on('data', (data) => {
        received += data
        if (received.includes('\r\n\r\n')) socket.destroy()
      })
      socket.on('close', () => resolve(received))
    })
    expect(answer).toMatch(/^HTTP\/1\.1 308 .*location: https:\/\/www\.example\.com\//is)
  }
})

test('kill -9 in the middle of concurrent writes, three times over, loses no acknowledged text and lends no code twice', async () => {
  const path = await filledDatabase()
  const acknowledged = new Map<string, string>()
  for (let round = 0; round < 3; round++) {
    const server = await start(path)
    let written = 0
    let killed = false
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      for (let i = 0; ; i++) {
        const text = `${round} ${writer} ${i}`
        try {
          const code = await write(server, text)
          expect(acknowledged.has(code)).toBe(false)
          acknowledged.set(code, text)
        } catch (error) {
          if (killed) return
          throw error
        }
        if (++written !== 400) continue
        killed = true
        server.process.kill('SIGKILL')
      }
    })
    await Promise.all(writers)
    await server.process.exited
  }
  expect(acknowledged.size).toBeGreaterThanOrEqual(1200)
  const server = await start(path)
  for (const [code, text] of acknowledged) expect(await load(server, code)).toBe(text)
  await server.stop()
  checkInvariant(path)
})

test('an expired text is swept at the start', async () => {
  const path = await filledDatabase()
  {
    const before = await testStore({ path })
    await before.store.write(text('old', { expiresAt: 2 }), 1)
    await before.store.close()
  }
  const server = await start(path)
  await server.stop()
  await using stored = await testStore({ path })
  expect(stored.query('SELECT * FROM text')).toEqual([])
})

test('no text, password or token is in any log or error, whatever fails', async () => {
  const path = await filledDatabase()
  const server = await start(path)
  const secrets = { text: 'the-secret-text', password: 'the-secret-password', token: 'the-secret-token' }
  const answers: string[] = []
  const send = async (url: string, init: RequestInit) => {
    const response = await fetch(`${server.url}${url}`, init)
    if (response.status >= 400) answers.push(await response.text(), JSON.stringify([...response.headers]))
    return response
  }
  const json = (body: object | string) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const basic = { authorization: `Basic ${btoa(`:${secrets.password}`)}` }
  const { code } = (await (await send('/api/write', json({ text: 'a', password: 'other' }))).json()) as { code: string }
  const failing = async () => {
    await send('/api/write', json({ text: secrets.text, password: secrets.password, expiresIn: secrets.token }))
    await send('/api/write', json(`{"text": "${secrets.text}"`))
    await send('/api/write', { ...json({ text: secrets.text }), headers: {} })
    await send('/api/load', json({ code, password: secrets.password }))
    await send('/api/load', json({ code: secrets.text, password: [secrets.password] }))
    await send('/api/erase', json({ code, eraseToken: secrets.token }))
    await send('/?expires=1y', { method: 'POST', body: secrets.text, headers: basic })
    await send(`/${code}`, { headers: basic })
    await send(`/${code}`, { method: 'POST', headers: basic, body: secrets.text })
  }
  await failing()
  // The same while the database itself fails in the middle of a statement that holds them all.
  {
    using shell = openShell(path)
    shell.run(`CREATE TRIGGER failing BEFORE INSERT ON text BEGIN SELECT raise(ABORT, 'broken'); END`)
    shell.run(`CREATE TRIGGER jammed BEFORE DELETE ON text BEGIN SELECT raise(ABORT, 'broken'); END`)
  }
  await failing()
  const broken = await send('/api/write', json({ text: secrets.text, password: secrets.password }))
  expect(broken.status).toBe(500)
  await send('/', { method: 'POST', body: secrets.text, headers: basic })
  await server.stop()
  const log = await server.output()
  expect(log).toContain('broken')
  for (const secret of [...Object.values(secrets), basic.authorization]) {
    for (const said of [log, ...answers]) expect(said).not.toContain(secret)
  }
})

test.skipIf(!canMount && !Bun.env.CI)(
  'a full disk is a clear error, loses nothing, and is over when there is room',
  async () => {
    const folder = temporaryPath('small-disk')
    mkdirSync(folder)
    const source = await filledDatabase()
    const megabytes = Math.ceil(statSync(source).size / 1e6) + 4
    const prepare = `mount -t tmpfs -o size=${megabytes}m tmpfs ${folder} && cp ${source} ${folder}/a.db && exec "$@"`
    const server = await start(join(folder, 'a.db'), {}, [...NAMESPACE, 'sh', '-c', prepare, 'sh'])
    const text = 'x'.repeat(100_000)
    const written = await post(server, 'write', { text: 'a', once: true })
    const once = ((await written.json()) as { code: string }).code
    const kept: string[] = []
    let refused: Response | undefined
    while (!refused) {
      const response = await post(server, 'write', { text })
      if (response.status === 201) kept.push(((await response.json()) as { code: string }).code)
      else refused = response
    }
    expect([refused.status, await refused.json()]).toEqual([
      507,
      { error: { code: 'storage_full', message: 'The server has no room for this text right now.' } },
    ])
    expect(kept.length).toBeGreaterThan(5)
    for (const code of kept) expect(await load(server, code)).toBe(text)
    expect((await post(server, 'load', { code: once })).status).toBe(507)
    expect((await fetch(`${server.url}/health`)).status).toBe(200)
    await Bun.$`nsenter --target ${server.process.pid} --user --mount mount -o remount,size=200m ${folder}`.quiet()
    kept.push(await write(server, text))
    expect(await load(server, once)).toBe('a')
    for (const code of kept) expect(await load(server, code)).toBe(text)
    expect(existsSync(join(folder, 'a.db'))).toBe(false) // It was the small disk indeed.
  },
)
