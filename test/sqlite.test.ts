/** What holds for the store on SQLite alone: its files, and who may have them. */
import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { openStore } from '../db/open.ts'
import { CODES } from '../db/store.ts'
import {
  checkInvariant,
  filledDatabase,
  hash,
  OPTIONS,
  openShell,
  T,
  temporaryPath,
  testStore,
  text,
} from './support/support.ts'

/** The bytes of all of the database's files. */
const files = (path: string) => Buffer.concat(['', '-wal', '-shm'].map((ending) => readFileSync(path + ending)))

test('a new pool holds every code of four letters once', async () => {
  await using stored = await testStore({ codes: CODES })
  expect(
    stored.query(`SELECT count(*) AS n, count(DISTINCT code) AS codes, min(code) AS first, max(code) AS last,
      count(*) FILTER (WHERE code GLOB '[A-Za-z][A-Za-z][A-Za-z][A-Za-z]' AND length(code) = 4) AS letters FROM code`),
  ).toEqual([{ n: CODES, codes: CODES, first: 'AAAA', last: 'zzzz', letters: CODES }])
})

test('the bytes of erased, expired, taken and fetched texts are in none of the files after the sweep', async () => {
  await using stored = await testStore()
  // Texts of every size, from many to a page to many pages each, deleted in every order: what makes SQLite repack its
  // pages, and leave copies of living rows behind in their gaps.
  const sizes = [0, 50, 300, 1000, 1300, 2000, 3000, 4000, 5000, 20_000]
  let random = 2
  const below = (limit: number) => {
    random = (random * 48_271) % 2_147_483_647
    return random % limit
  }
  const write = async (body: string, mark: string, isWaited: boolean) => {
    if (!isWaited) return stored.store.write(text(body, { eraseTokenHash: hash(mark) }), T)
    const code = await stored.store.write(text('', { receiveTokenHash: hash(mark) }), T)
    const filled = { body, seal: null, eraseTokenHash: hash(`writer of ${mark}`), writer: null }
    expect(await stored.store.fill(code, filled, T)).toBe(true)
    return code
  }
  const living: { mark: string; code: Promise<string> }[] = []
  const gone: { mark: string; code: Promise<string> }[] = []
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 200; i++) {
      const mark = `<${crypto.randomUUID()}>`
      const body = mark + 'x'.repeat(sizes[below(sizes.length)] ?? 0)
      living.push({ mark, code: write(body, mark, i % 3 === 0) })
    }
    for (let i = 0; i < 150; i++) gone.push(...living.splice(below(living.length), 1))
    for (const { mark, code } of gone.slice(-150))
      expect(await stored.store.erase(await code, hash(mark), T)).toBe(true)
  }
  const found = () => {
    const bytes = files(stored.path).toString('latin1')
    return new Set(bytes.match(/<[0-9a-f-]{36}>/g))
  }
  // What `secure_delete` alone would leave, or this test would show nothing.
  stored.query('PRAGMA wal_checkpoint(TRUNCATE)')
  const remains = found()
  expect(gone.filter(({ mark }) => remains.has(mark))).not.toEqual([])
  await stored.store.sweep(T)
  expect([...found()].sort()).toEqual(living.map(({ mark }) => mark).sort())
  await stored.store.sweep(T + 60_000)
  expect([...found()]).toEqual([])
})

test('the sweep gives the room of deleted texts back to the disk', async () => {
  await using stored = await testStore()
  const before = statSync(stored.path).size
  await Promise.all(Array.from({ length: 50 }, (_, i) => stored.store.write(text(`${i}`.padEnd(100_000)), T)))
  await stored.store.sweep(T)
  expect(statSync(stored.path).size).toBeGreaterThan(before + 5_000_000)
  await stored.store.sweep(T + 60_000)
  expect(statSync(stored.path).size).toBeLessThan(before + 100_000)
  expect(statSync(`${stored.path}-wal`).size).toBe(0)
})

test('a sweep that shares its transactions with writes that fail does as much as one alone', async () => {
  await using stored = await testStore()
  const { store, query } = stored
  const codes = await Promise.all(Array.from({ length: 20 }, (_, i) => store.write(text(`${i}`), T)))
  query(`CREATE TRIGGER failing BEFORE INSERT ON text WHEN new.body = 'fails' BEGIN SELECT raise(ABORT, 'no'); END`)
  await store.erase(codes[0] ?? '', hash('0'), T)
  const [last] = query<{ id: number }>('SELECT max(rowid) AS id FROM text')
  let isSwept = false
  const sweeping = store.sweep(T).then(() => {
    isSwept = true
  })
  while (!isSwept) {
    // Behind the sweep's turn, which by then has done its work.
    for (let turn = 0; turn < 20; turn++) await null
    expect(await store.write(text('fails'), T).catch((error) => error.message)).toBe('no')
  }
  await sweeping
  const [first] = query<{ id: number }>('SELECT min(rowid) AS id FROM text')
  // Behind the page at the boundary, which holds 69 texts at the most.
  expect(first?.id).toBeGreaterThan((last?.id ?? Infinity) + 69)
})

test('the files are readable by their owner alone, also where an older one was not', async () => {
  const path = await filledDatabase()
  await Bun.$`chmod 644 ${path}`
  await using stored = await testStore({ path })
  await stored.store.write(text('a'), T)
  for (const ending of ['', '-wal', '-shm', '.lock']) expect(statSync(path + ending).mode & 0o777).toBe(0o600)
})

test('texts outlive the store that wrote them, with their bytes counted', async () => {
  const path = await filledDatabase()
  const limits = { ...OPTIONS, maxStoredBytes: 10 }
  const first = await openStore(path, limits)
  const code = await first.write(text('123456'), T)
  await first.close()
  await using stored = await testStore({ path, ...limits })
  expect((await stored.store.load(code, T))?.body).toBe('123456')
  await expect(stored.store.write(text('12345'), T)).rejects.toMatchObject({ reason: 'storage_full' })
})

test('a store that was just opened has the bytes of thousands of texts right, whatever is done to them at once', async () => {
  const path = await filledDatabase(CODES)
  const first = await openStore(path, OPTIONS)
  const bodies = Array.from({ length: 20_000 }, (_, i) => `text ${i}`)
  const codes = await Promise.all(bodies.map((body) => first.write(text(body), T)))
  await first.close()
  const bytes = bodies.join('').length

  await using stored = await testStore({ path, codes: CODES, codeRestSeconds: 0, maxStoredBytes: bytes + 12 })
  const { store } = stored
  const [erased, written, tooMuch, loaded] = await Promise.allSettled([
    store.erase(codes[0] ?? '', hash('text 0'), T), // 6 bytes
    store.write(text('123456789012'), T),
    store.write(text('1234567'), T),
    store.load(codes[19_999] ?? '', T),
  ])
  expect([erased, written, loaded].map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
  expect(tooMuch).toMatchObject({ reason: { reason: 'storage_full' } })
  expect(await store.stats(T)).toMatchObject({ texts: 20_000, bytes: bytes + 6 })
})

test('a write that fails fails alone, though it shared its transaction', async () => {
  await using stored = await testStore()
  const twice = hash('same')
  stored.query('CREATE UNIQUE INDEX one_each ON text (erase_token_hash)')
  const writes = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map((body, i) => stored.store.write(text(body, i % 2 ? { eraseTokenHash: twice } : {}), T)),
  )
  expect(writes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
  expect(stored.query('SELECT body FROM text ORDER BY body')).toEqual([{ body: 'a' }, { body: 'b' }, { body: 'c' }])
})

test('a second store on the same file is refused with a clear line, and let in when the first is closed', async () => {
  const path = await filledDatabase()
  const first = await openStore(path, OPTIONS)
  await expect(openStore(path, OPTIONS)).rejects.toThrow(`Another process is using ${path}: stop it first.`)
  await first.close()
  await (await openStore(path, OPTIONS)).close()
  checkInvariant(path)
})

test('a link to the file is no way around its lock', async () => {
  await using stored = await testStore()
  const link = temporaryPath('link.db')
  symlinkSync(stored.path, link)
  await expect(openStore(link, OPTIONS)).rejects.toThrow('Another process is using')
})

test('a file that is no database of ours is refused and left as it is', async () => {
  const foreign = temporaryPath('foreign.db')
  {
    using sqlite = new Database(foreign)
    sqlite.run('CREATE TABLE note (body)')
  }
  const words = temporaryPath('words.txt')
  writeFileSync(words, 'These are not the bytes that you are looking for.\n')
  const folder = temporaryPath('folder')
  mkdirSync(folder)
  for (const path of [foreign, words]) {
    const before = readFileSync(path)
    chmodSync(path, 0o644)
    await expect(openStore(path, OPTIONS)).rejects.toThrow(
      `${path} is not a database of extextcloud. Nothing was changed.`,
    )
    expect([statSync(path).mode & 0o777, readFileSync(path)]).toEqual([0o644, before])
    expect(existsSync(`${path}.lock`)).toBe(false)
  }
  await expect(openStore(folder, OPTIONS)).rejects.toThrow('is not a database of extextcloud')
  expect(existsSync(`${folder}.lock`)).toBe(false)
})

test('while another process holds the file, a hundred writes are refused in the time of one', async () => {
  await using stored = await testStore()
  using shell = openShell(stored.path)
  shell.run('BEGIN IMMEDIATE')
  const started = performance.now()
  const writes = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => stored.store.write(text(`${i}`), T)))
  expect(performance.now() - started).toBeLessThan(5000) // One after the other they would take ten seconds.
  for (const write of writes) expect(write).toMatchObject({ status: 'rejected', reason: { reason: 'busy' } })
  shell.run('ROLLBACK')
})

test('while another process holds the file, writes are refused as busy and nothing is lost', async () => {
  await using stored = await testStore()
  const code = await stored.store.write(text('a'), T)
  using shell = openShell(stored.path)
  shell.run('BEGIN IMMEDIATE')
  await expect(stored.store.write(text('b'), T)).rejects.toMatchObject({ reason: 'busy', details: { retryAfter: 1 } })
  expect((await stored.store.load(code, T))?.body).toBe('a')
  shell.run('ROLLBACK')
  await stored.store.write(text('c'), T)
})
