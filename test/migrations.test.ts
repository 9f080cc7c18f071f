import { afterAll, expect, test } from 'bun:test'
import { cpSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { migrations } from '../db/migrations/index.ts'
import { openStore } from '../db/open.ts'
import { migrations as postgresMigrations } from '../db/postgres/migrations/index.ts'
import { CODES } from '../db/store.ts'
import { verifyPassword } from '../password.ts'
import {
  checkInvariant,
  filledDatabase,
  hash,
  OPTIONS,
  openShell,
  root,
  run,
  T,
  temporaryPath,
  testStore,
  text,
} from './support/support.ts'

const FIXTURES = join(root, 'test/fixtures')

const all = (path: string, sql: string) => {
  using sqlite = openShell(path)
  return sqlite.query(sql).all()
}

/** A database with a living text and one code at rest. */
async function usedDatabase() {
  const path = await filledDatabase(CODES)
  const store = await openStore(path, OPTIONS)
  const write = (body: string) => store.write(text(body, { expiresAt: T + 1e9 }), T)
  const code = await write('kept')
  const returned = await write('returned')
  await store.erase(returned, hash('returned'), T)
  await store.close()
  return { path, code, returned }
}

/** Takes back every migration since the pool was filled, and that. */
async function toEmptyPool(path: string) {
  for (const { name } of migrations.slice(1).reverse()) {
    checkInvariant(path, CODES)
    // The receipt of the text that was erased.
    const lost = `The schema before ${name} cannot hold all that is here, and this will be lost: receipts (1)`
    const said = await run('db:downgrade', path)
    expect(said).toEqual([...(name === '0005_receive' ? [lost] : []), `Took back ${name}`])
  }
}

test('down to the empty pool and up again keeps every text, every code and every rest', async () => {
  const { path, code, returned } = await usedDatabase()
  const before = all(path, 'SELECT * FROM text')
  await toEmptyPool(path)
  expect(all(path, 'SELECT code, rests_until FROM code')).toEqual([{ code: returned, rests_until: T + 86_400_000 }])
  expect((await run('db:status', path))[1]).toBe(
    [`migrations  1 of ${migrations.length} applied`, ...migrations.slice(1).map(({ name }) => `${name} pending`)].join(
      ', ',
    ),
  )
  expect((await run('db:upgrade', path)).at(-1)).toBe(`${path} is up to date`)
  checkInvariant(path, CODES)
  expect(all(path, 'SELECT * FROM text')).toEqual(before)
  expect(all(path, `SELECT rests_until FROM code WHERE rests_until IS NOT NULL`)).toEqual([
    { rests_until: T + 86_400_000 },
  ])
  await using stored = await testStore({ path, codes: CODES })
  expect((await stored.store.load(code, T))?.body).toBe('kept')
})

test('a step down that loses something says what before it does it', async () => {
  const { path } = await usedDatabase()
  await toEmptyPool(path)
  expect(await run('db:downgrade', path)).toEqual([
    'The schema before 0000_create_code_and_text cannot hold all that is here, and this will be lost: texts (1), rest periods of codes (1)',
    'Took back 0000_create_code_and_text',
  ])
  expect(all(path, `SELECT name FROM sqlite_schema`)).toEqual([])
  expect(await run('db:downgrade', path)).toEqual(['No migration is applied: there is nothing to take back'])
  await run('db:upgrade', path)
  checkInvariant(path, CODES)
})

test('filling the pool is announced before it takes its time', async () => {
  const path = temporaryPath()
  expect(await run('db:upgrade', path)).toEqual([
    expect.stringMatching(/^Applied 0000_create_code_and_text in \d\.\d s$/),
    'Filling the pool with 7,311,616 codes (84 MB on disk, a few seconds) …',
    expect.stringMatching(/^Applied 0001_fill_pool in \d+\.\d s$/),
    ...migrations.slice(2).map(({ name }) => expect.stringMatching(new RegExp(`^Applied ${name} in \\d+\\.\\d s$`))),
    `${path} is up to date`,
  ])
  expect(statSync(path).mode & 0o777).toBe(0o600)
  checkInvariant(path, CODES)
})

test('a database from a newer release is refused and left as it is', async () => {
  const path = await filledDatabase()
  all(path, `PRAGMA user_version = ${migrations.length + 1}`)
  const line = `The database is at migration ${migrations.length + 1}, and this release knows only ${migrations.length}: it was made by a newer release.`
  for (const command of ['db:upgrade', 'db:downgrade', 'db:status'])
    await expect(run(command, path)).rejects.toThrow(line)
  await expect(openStore(path, OPTIONS)).rejects.toThrow(line)
  all(path, `PRAGMA user_version = ${migrations.length}`)
  checkInvariant(path)
})

test('a migration that fails leaves the database at the one before', async () => {
  const { path } = await usedDatabase()
  await toEmptyPool(path)
  all(path, `CREATE TRIGGER full AFTER INSERT ON code WHEN new.code > 'zz' BEGIN SELECT raise(ABORT, 'enough'); END`)
  await expect(run('db:upgrade', path)).rejects.toThrow('enough')
  expect(all(path, 'SELECT count(*) AS n FROM code')).toEqual([{ n: 1 }])
  expect((await run('db:status', path))[1]).toContain('0001_fill_pool pending')
})

test('what changes the schema is refused while a server runs; what reads is not', async () => {
  await using stored = await testStore()
  const line = `Another process is using ${stored.path}: stop it first.`
  for (const command of ['db:upgrade', 'db:downgrade']) await expect(run(command, stored.path)).rejects.toThrow(line)
  expect(await run('db:status', stored.path)).toHaveLength(7)
})

test('status tells what is in the database', async () => {
  const { path } = await usedDatabase()
  const said = await run('db:status', path)
  expect(said[0]).toMatch(new RegExp(`^file        ${path}, \\d+,\\d{3},\\d{3} bytes$`))
  expect(said.slice(1)).toEqual([
    `migrations  ${migrations.length} of ${migrations.length} applied`,
    'texts       1, 4 bytes; 0 expired and not yet swept',
    `codes       ${(CODES - 1).toLocaleString('en')} in the pool; 1 of them at rest`,
    'receiving   0 codes wait for a text; 0 texts wait to be fetched',
    'receipts    1',
    'integrity   whole: every page, every index',
  ])
})

test('a backup taken while texts are written is whole, private, and starts', async () => {
  await using stored = await testStore()
  const backup = temporaryPath('backup.db')
  const write = (i: number) => stored.store.write(text(`${i}`, { expiresAt: T + 1e9 }), T)
  const before = await Promise.all(Array.from({ length: 100 }, (_, i) => write(i)))
  const process = Bun.spawn(['bun', 'index.ts', 'db:backup', backup], {
    cwd: root,
    env: { ...Bun.env, DATABASE_URL: stored.path },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let more = 0
  while (process.exitCode === null) {
    await write(more++)
    await new Promise(setImmediate)
  }
  expect([process.exitCode, await new Response(process.stderr).text()]).toEqual([0, ''])
  expect(more).toBeGreaterThan(0)
  expect(statSync(backup).mode & 0o777).toBe(0o600)
  checkInvariant(backup)
  await using copy = await testStore({ path: backup })
  for (const code of before) expect(await copy.store.load(code, T)).toBeDefined()
  await expect(run('db:backup', stored.path, backup)).rejects.toThrow(
    `${backup} exists already: a backup never overwrites.`,
  )
})

test('a command that cannot be carried out says why in one line, and leaves nothing behind', async () => {
  const missing = temporaryPath('missing.db')
  await expect(run('db:status', missing)).rejects.toThrow(`There is no database at ${missing}.`)
  await expect(run('db:backup', missing, `${missing}.copy`)).rejects.toThrow(`There is no database at ${missing}.`)
  await expect(run('db:backup', missing)).rejects.toThrow('db:backup needs the name of the file to write.')
  await expect(run('db:vacuum', missing)).rejects.toThrow(
    'There is no command "db:vacuum". There are: db:upgrade, db:downgrade,',
  )
  for (const path of [missing, `${missing}.copy`]) expect(existsSync(path)).toBe(false)
})

test('a text is found, erased for everyone and swept by the commands of the operator, while the server runs', async () => {
  await using stored = await testStore()
  const expiresAt = Date.now() + 60_000
  const body = 'abuse \u001b[2J'
  const code = await stored.store.write(text(body, { passwordHash: 'a hash', once: true, expiresAt }), Date.now())
  expect((await run('text:find', stored.path, code)).slice(1)).toEqual([
    `expires     ${new Date(expiresAt).toISOString()}`,
    'password    yes',
    'only once   yes',
    'sealed      no',
    'received    no',
    'text        "abuse \\u001b[2J"',
  ])
  await run('text:erase', stored.path, code)
  const gone = `There is no text with the code ${code}.`
  for (const command of ['text:find', 'text:erase']) await expect(run(command, stored.path, code)).rejects.toThrow(gone)
  expect(await stored.store.sweep(Date.now())).toBe(1)
  expect((await stored.store.stats(Date.now())).texts).toBe(0)
  await expect(run('text:find', stored.path, 'abc')).rejects.toThrow(
    'This command needs the code of a text: four letters.',
  )
})

test('a step down lets nobody load by its code what was for one person, and says what waits', async () => {
  const path = await filledDatabase(CODES)
  const store = await openStore(path, OPTIONS)
  const now = Date.now()
  const waiting = { receiveTokenHash: hash('token'), expiresAt: now + 60_000 }
  const [empty, filled] = [await store.write(text('', waiting), now), await store.write(text('', waiting), now)]
  await store.fill(filled, { body: 'for one', seal: null, eraseTokenHash: hash('b'), writer: null }, now)
  await store.close()
  expect((await run('db:status', path)).slice(4, 6)).toEqual([
    'receiving   1 codes wait for a text; 1 texts wait to be fetched',
    'receipts    0',
  ])
  expect((await run('text:find', path, filled)).slice(-2)).toEqual(['received    yes', 'text        "for one"'])
  expect((await run('db:downgrade', path))[0]).toContain('codes that wait, or texts that are to be fetched (2)')
  checkInvariant(path, CODES)
  await run('db:upgrade', path)
  await using stored = await testStore({ path, codes: CODES })
  for (const code of [empty, filled]) expect(await stored.store.load(code, now)).toBeUndefined()
})

// One for each schema that was ever released: made by that release, with a pool of a hundred codes for its size.
for (const fixture of new Bun.Glob('*.db.gz').scanSync(FIXTURES)) {
  test(`a database of the release with ${basename(fixture, '.db.gz')} is upgraded, and keeps its texts`, async () => {
    const path = temporaryPath()
    await Bun.write(path, Bun.gunzipSync(await Bun.file(join(FIXTURES, fixture)).bytes()))
    const codes = all(path, 'SELECT code FROM code UNION SELECT code FROM text').length
    const store = await openStore(path, OPTIONS)
    const [plain, secret] = [await store.load('aaaa', T), await store.load('ZZZZ', T)]
    expect([plain?.body, plain?.once, secret?.body, secret?.once]).toEqual(['plain 부엌', false, 'secret', true])
    expect(await verifyPassword('password', secret?.passwordHash ?? '', '192.0.2.1')).toBe(true)
    expect(await store.erase('aaaa', hash('token'), T)).toBe(true)
    expect(await store.stats(T)).toMatchObject({ texts: 1, resting: 2 })
    await store.close()
    checkInvariant(path, codes)
  })
}

test('every migration since the first release has its fixture', async () => {
  const fixtures = [...new Bun.Glob('*.db.gz').scanSync(FIXTURES)].map((name) => basename(name, '.db.gz'))
  expect(fixtures.sort()).toEqual(migrations.slice(1).map(({ name }) => name))
})

test('every migration in the folders is applied, has its way down, and together they describe the schemas', async () => {
  for (const [folder, listed] of [
    ['db/migrations', migrations],
    ['db/postgres/migrations', postgresMigrations],
  ] as const) {
    const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.sql'))
    expect(files.sort()).toEqual(listed.flatMap(({ name }) => [`${name}.down.sql`, `${name}.sql`]).sort())
  }
  // drizzle-kit would write a further migration where a schema had moved on from the last one.
  const copy = join(root, 'node_modules/.migrations-test')
  afterAll(() => rmSync(copy, { recursive: true, force: true }))
  cpSync(join(root, 'db'), join(copy, 'db'), { recursive: true })
  const path = `${join(root, 'node_modules/.bin')}:${Bun.env.PATH}`
  const kit = await Bun.$`bun db/generate.ts`
    .cwd(copy)
    .env({ ...Bun.env, PATH: path })
    .quiet()
  expect(kit.stdout.toString().match(/No schema changes/g)).toHaveLength(2)
})
