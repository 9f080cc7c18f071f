/** A damaged SQLite file: one page after another of every kind is broken, and each time what can be had is. */
import { Database } from 'bun:sqlite'
import { afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { openStore } from '../db/open.ts'
import { rescue } from '../db/rescue.ts'
import { findDamage } from '../db/sqlite/damage.ts'
import { CODES, type LentText, type Store } from '../db/store.ts'
import { Refusal } from '../errors.ts'
import { everyColumn } from './support/columns.ts'
import { poll } from './support/poll.ts'
import { withSmallPool } from './support/pool.ts'
import { load, post, start, stopAll } from './support/processes.ts'
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
  text,
} from './support/support.ts'

const PAGE = 4096
const DAY = 86_400_000

/** Bodies from a few to a page, and over several. */
const SIZES = [10, 700, 3000, 9000, 20_000]

/** The bytes of a file with 600 texts, of which every seventh was erased, and what is in them. */
let whole: Buffer
let texts: LentText[]
const erased: string[] = []
/** Pages by their kind: one in the middle, and how many cells it has. */
let pages: Map<string, { page: number; cells: number }>

const rows = (path: string) => {
  using sqlite = openShell(path)
  return sqlite.query<Record<string, unknown> & { code: string }, []>('SELECT * FROM text ORDER BY code').all()
}

beforeAll(async () => {
  const path = await filledDatabase()
  const store = await openStore(path, OPTIONS)
  const bodies = Array.from({ length: 600 }, (_, i) => `${i} `.padEnd(SIZES[i % SIZES.length] ?? 0, 'ü부🍳'))
  const codes = await Promise.all(
    bodies.map((body, i) =>
      store.write(text(body, { ...(i % 2 ? everyColumn : {}), once: false, expiresAt: T + DAY }), T),
    ),
  )
  for (let i = 0; i < codes.length; i += 7) {
    expect(await store.erase(codes[i] ?? '', hash(bodies[i] ?? ''), T)).toBe(true)
    erased.push(codes[i] ?? '')
  }
  const found = await Promise.all(codes.filter((code) => !erased.includes(code)).map((code) => store.load(code, T)))
  texts = found.filter((text) => text !== undefined)
  await store.close()
  using sqlite = new Database(path)
  sqlite.run('PRAGMA wal_checkpoint(TRUNCATE)')
  whole = readFileSync(path)
  const all = sqlite
    .query<{ kind: string; page: number; cells: number }, []>(
      `SELECT name || ' ' || pagetype AS kind, pageno AS page, ncell AS cells FROM dbstat`,
    )
    .all()
  const byKind = Map.groupBy(all, ({ kind }) => kind)
  pages = new Map(Array.from(byKind, ([kind, of]) => [kind, of[of.length >> 1] ?? { page: 0, cells: 0 }]))
  const trunk = whole.readUInt32BE(32)
  pages.set('map of pages', { page: 2, cells: 0 })
  pages.set('free trunk', { page: trunk, cells: 0 })
  pages.set('free leaf', { page: whole.readUInt32BE((trunk - 1) * PAGE + 8), cells: 0 })
})

/** Random bytes, the same ones each time. */
function noise(length: number) {
  let random = 7
  return Buffer.from(
    Array.from({ length }, () => {
      random = (random * 48_271) % 2_147_483_647
      return random >> 8
    }),
  )
}

const WAYS: Record<string, (page: Buffer) => void> = {
  noise: (page) => void page.set(noise(page.length)),
  zeros: (page) => void page.fill(0),
  'half of it noise': (page) => void page.set(noise(page.length / 2), page.length / 2),
}

function broken(kind: string, way: string): string {
  const bytes = Buffer.from(whole)
  const { page } = pages.get(kind) ?? { page: 0 }
  if (page === 0) throw new Error(`There is no page of the kind ${kind}`)
  WAYS[way]?.(bytes.subarray((page - 1) * PAGE, page * PAGE))
  const path = temporaryPath('broken.db')
  writeFileSync(path, bytes)
  return path
}

/** What is said of a damaged file; undefined where nothing is. */
const said = (path: string): string | undefined => {
  using sqlite = new Database(path, { readonly: true })
  return findDamage(sqlite, 'integrity_check').join('; ') || undefined
}

/** Loads every text; returns how many could not be read. Throws where one is not what was written. */
async function loadAll(store: Store): Promise<number> {
  let unreadable = 0
  for (const text of texts) {
    const found = await store.load(text.code, T).catch((error) => error)
    if (found instanceof Refusal) {
      expect([found.reason, found.message]).toEqual([
        'busy',
        expect.stringContaining('storage of this server is damaged'),
      ])
      unreadable++
    } else expect(found).toEqual(text)
  }
  return unreadable
}

/** Each kind of page, what is said of it where it is broken, and how many texts nobody can load any more then: those on it, all, or none. */
const KINDS: [kind: string, words: string | undefined, unreadable: 'its own' | 'all' | 'none'][] = [
  ['text leaf', 'the table text', 'its own'],
  ['text internal', 'the table text', 'all'],
  ['text overflow', 'the table text', 'its own'],
  ['sqlite_autoindex_text_1 leaf', 'the index sqlite_autoindex_text_1 of the table text', 'none'],
  ['sqlite_autoindex_text_1 internal', 'the index sqlite_autoindex_text_1 of the table text', 'none'],
  ['text_expires_at leaf', 'the index text_expires_at of the table text', 'none'],
  ['text_expires_at internal', 'the index text_expires_at of the table text', 'none'],
  ['text_receiving leaf', 'the index text_receiving of the table text', 'none'],
  ['receipt leaf', 'the table receipt', 'none'],
  ['sqlite_autoindex_receipt_1 leaf', 'the index sqlite_autoindex_receipt_1 of the table receipt', 'none'],
  ['receipt_expires_at leaf', 'the index receipt_expires_at of the table receipt', 'none'],
  ['code leaf', 'the table code', 'none'],
  ['code internal', 'the table code', 'none'],
  ['code_rests_until leaf', 'the index code_rests_until of the table code', 'none'],
  ['map of pages', 'the map of its pages', 'none'],
  ['free trunk', 'the list of its free pages', 'none'],
  ['free leaf', undefined, 'none'],
]

test('there is a page of every kind', () => {
  const known = [...KINDS.map(([kind]) => kind), 'sqlite_schema leaf']
  expect([...pages.keys()].sort()).toEqual(known.sort())
})

for (const [kind, words, unreadable] of KINDS) {
  for (const way of Object.keys(WAYS)) {
    // The end of a chain of pages, or of a page, may hold what is not looked at.
    describe(`${kind}: ${way}`, () => {
      const limit = () =>
        ({ 'its own': kind.endsWith('overflow') ? 1 : (pages.get(kind)?.cells ?? 0), all: texts.length, none: 0 })[
          unreadable
        ]

      test('what can be read is served, and writes go on or it says what is damaged', async () => {
        const path = broken(kind, way)
        const lines: string[] = []
        const store = await openStore(path, { ...OPTIONS, say: (line) => lines.push(line) })
        try {
          await store.sweep(T).catch(() => {}) // As a server does first of all.
          expect(await loadAll(store)).toBeLessThanOrEqual(limit())
          const written = new Map<string, string>()
          for (let i = 0; i < 10; i++) {
            await store.sweep(T).catch(() => {})
            await store.write(text(`new ${i}`), T).then(
              (code) => written.set(code, `new ${i}`),
              () => {},
            )
          }
          for (const [code, body] of written) expect((await store.load(code, T))?.body).toBe(body)
          expect(await loadAll(store)).toBeLessThanOrEqual(limit())
          if (written.size === 10) return await store.check()
          expect(() => store.check()).toThrow('The storage of this server is damaged')
          await expect(store.write(text('more'), T)).rejects.toMatchObject({ reason: 'busy' })
          const log = readFileSync(`${path}-wal`)
          await Promise.allSettled(texts.map(({ code }) => store.load(code, T + 2 * DAY))) // Expired by then.
          expect(readFileSync(`${path}-wal`).equals(log)).toBe(true)
          await expect(store.sweep(T)).rejects.toMatchObject({
            cause: { message: expect.stringContaining(`${path} is damaged: `) },
          })
          expect(lines.filter((line) => line.includes(words ?? 'nothing'))).toHaveLength(1)
        } finally {
          await store.close()
        }
      })

      test('db:status says what is damaged, and a backup is whole or is not made', async () => {
        const path = broken(kind, way)
        const status = await run('db:status', path).then(
          (lines) => lines.join('\n'),
          (error: Error) => error.message,
        )
        const backup = await run('db:backup', path, `${path}.backup`).then(
          () => '',
          (error: Error) => error.message,
        )
        if (said(path) === undefined) expect(status).toContain('whole')
        else expect(status).toMatch(new RegExp(`^${path} is damaged: .*${words}.*\\. db:rescue FILE brings`))
        expect(existsSync(`${path}.backup`)).toBe(backup === '')
        if (backup === '') expect(said(`${path}.backup`)).toBeUndefined()
        else expect(backup).toMatch(/^\S+ is damaged/)
      })

      test('db:rescue brings every text that is not on the page itself into a new file, and the file stays as it is', async () => {
        const path = broken(kind, way)
        const before = readFileSync(path)
        const to = temporaryPath('rescued.db')
        const lines: string[] = []
        await rescue(path, to, T, (line) => lines.push(line), withSmallPool)
        expect(readFileSync(path).equals(before)).toBe(true)
        expect(said(to)).toBeUndefined()
        checkInvariant(to)
        const kept = rows(to)
        const original = temporaryPath('whole.db')
        writeFileSync(original, whole)
        const there = new Map(rows(original).map((row) => [row.code, row]))
        for (const row of kept) expect(row).toEqual(there.get(row.code) as typeof row)
        const lost = [...there.keys()].filter((code) => !kept.some((row) => row.code === code))
        expect(lost.length).toBeLessThanOrEqual(unreadable === 'its own' ? limit() : 0)
        const codes =
          lost.length > 0 ? [`Lost: ${lost.length} texts, under the codes ${lost.sort().slice(0, 20).join(', ')}`] : []
        expect(lines.filter((line) => line.startsWith('Lost'))).toEqual(codes)
        using sqlite = openShell(to)
        const resting = sqlite
          .query<{ code: string }, []>(`SELECT code FROM code WHERE rests_until >= ${T + DAY}`)
          .all()
        expect(resting.map(({ code }) => code)).toEqual(expect.arrayContaining([...erased, ...lost]))
      })
    })
  }
}

/** The texts that are in a file, as they were written. */
const expected = () => {
  const path = temporaryPath('whole.db')
  writeFileSync(path, whole)
  return rows(path)
}

describe('the first page', () => {
  for (const [what, from, to] of [
    ['all of it', 0, PAGE],
    ['its head', 0, 100],
    ['all but its head', 100, PAGE],
    ['the mark of SQLite', 0, 16],
    ['the size of pages', 16, 18],
    ['the mark of extextcloud', 68, 72],
  ] as const) {
    test(`${what}: nothing starts, it is said why and what helps, and every text is rescued`, async () => {
      const path = temporaryPath('broken.db')
      const bytes = Buffer.from(whole)
      bytes.set(noise(to - from), from)
      writeFileSync(path, bytes)
      const line = `${path} is damaged: its first page, which says what is where. db:rescue FILE brings`
      await expect(openStore(path, OPTIONS)).rejects.toThrow(line)
      await expect(run('db:status', path)).rejects.toThrow(line)
      expect(readFileSync(path).equals(bytes)).toBe(true)
      const rescued = temporaryPath('rescued.db')
      await rescue(path, rescued, T, () => {}, withSmallPool)
      expect(rows(rescued)).toEqual(expected())
      checkInvariant(rescued)
    })
  }
})

test('of a file that was cut off, what is left is rescued', async () => {
  const path = temporaryPath('broken.db')
  writeFileSync(path, whole.subarray(0, whole.length >> 1))
  await expect(run('db:status', path)).rejects.toThrow('is damaged')
  const rescued = temporaryPath('rescued.db')
  await rescue(path, rescued, T, () => {}, withSmallPool)
  const all = expected()
  const kept = rows(rescued)
  expect(kept.length).toBeGreaterThan(all.length / 4)
  expect(all).toEqual(expect.arrayContaining(kept))
  checkInvariant(rescued)
})

describe('the log', () => {
  /** A file and its log, as a server leaves them that is killed: 40 commits in the log, a text each, and one that erases. */
  async function killed() {
    const path = await filledDatabase()
    const store = await openStore(path, OPTIONS)
    const written = new Map<string, string>()
    for (let i = 0; i < 40; i++) written.set(await store.write(text(`${i}`), T), `${i}`)
    const [first = ''] = written.keys()
    await store.erase(first, hash('0'), T)
    written.delete(first)
    const [file, log] = [readFileSync(path), readFileSync(`${path}-wal`)]
    await store.close()
    return {
      written,
      first,
      log,
      /** That file, with a log that was changed. */
      left(log: Buffer): string {
        const copy = temporaryPath('killed.db')
        writeFileSync(copy, file)
        writeFileSync(`${copy}-wal`, log)
        return copy
      },
    }
  }
  const FRAME = 24 + PAGE
  const rescued = async (path: string) => {
    const to = temporaryPath('rescued.db')
    await rescue(path, to, T, () => {}, withSmallPool)
    checkInvariant(to)
    return new Map(rows(to).map(({ code, body }) => [code, body]))
  }

  test('whole, or cut off as a crash leaves it, is read as far as it goes', async () => {
    const { left, log, written, first } = await killed()
    for (const length of [log.length, log.length - 100]) {
      const path = left(log.subarray(0, length))
      expect(await rescued(path)).toEqual(new Map(length < log.length ? [...written, [first, '0']] : written))
      const store = await openStore(path, OPTIONS)
      for (const [code, body] of written) expect((await store.load(code, T))?.body).toBe(body)
      await store.close()
    }
  })

  for (const [what, at] of [
    ['its head', 0],
    ['its first frame', 40],
    ['a frame in the middle', 32 + FRAME * 60],
    ['the head of a frame in the middle', 32 + FRAME * 60 - 20],
  ] as const) {
    test(`damaged in ${what}: nothing starts that would lose what follows, it is said why, and it is rescued`, async () => {
      const { left, log, written } = await killed()
      log.set(noise(200), at)
      const path = left(log)
      const line = `${path}-wal is damaged: the log, before its last commits. db:rescue FILE brings`
      for (const command of ['db:status', 'db:upgrade', 'db:backup'])
        await expect(run(command, path, temporaryPath())).rejects.toThrow(line)
      await expect(openStore(path, OPTIONS)).rejects.toThrow(line)
      expect(readFileSync(`${path}-wal`).equals(log)).toBe(true)
      expect(await rescued(path)).toEqual(written)
    })
  }
})

afterEach(stopAll)

test('a server on a damaged file serves what it can, is not well, and its log says which table', async () => {
  const server = await start(broken('text leaf', 'noise'))
  const statuses = new Map<number, number>()
  const open = texts.filter(({ passwordHash }) => passwordHash === null)
  for (const { code } of open) {
    const { status } = await fetch(`${server.url}/${code}`)
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  const health = await fetch(`${server.url}/health`)
  const write = await post(server, 'write', { text: 'a' })
  expect([health.status, write.status]).toEqual([503, 503])
  const message = expect.stringMatching(/^The storage of this server is damaged: /)
  expect(await write.json()).toEqual({ error: { code: 'busy', message } })
  expect([...statuses.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([])
  expect(statuses.get(200)).toBeGreaterThan(open.length - 10)
  await poll('the log', async () =>
    /"level":"error".*broken\.db is damaged: .*the table text/.test(await server.output()),
  )
})

test('db:rescue makes a file that a server starts with, for its owner alone, and overwrites nothing', async () => {
  const path = await filledDatabase(CODES)
  const store = await openStore(path, OPTIONS)
  const code = await store.write(text('kept', { expiresAt: Date.now() + DAY }), Date.now())
  const to = temporaryPath('rescued.db')
  await expect(run('db:rescue', path, to)).rejects.toThrow(`Another process is using ${path}: stop it first.`)
  await store.close()
  {
    using sqlite = openShell(path)
    sqlite.run('PRAGMA wal_checkpoint(TRUNCATE)')
  }
  const bytes = readFileSync(path)
  bytes.set(noise(PAGE), 0)
  writeFileSync(path, bytes)
  const { exitCode, stdout } = Bun.spawnSync(['bun', 'index.ts', 'db:rescue', to], {
    cwd: root,
    env: { ...Bun.env, DATABASE_URL: path },
  })
  expect([exitCode, stdout.toString()]).toEqual([0, expect.stringContaining('Read: 1 texts, 0 codes at rest\n')])
  expect(statSync(to).mode & 0o777).toBe(0o600)
  expect(['-wal', '-shm', '.lock'].filter((ending) => existsSync(to + ending))).toEqual([])
  checkInvariant(to, CODES)
  await expect(run('db:rescue', path, to)).rejects.toThrow('exists already')
  await expect(run('db:rescue', path)).rejects.toThrow('needs the name of the file to write')
  await expect(run('db:rescue', import.meta.path, temporaryPath())).rejects.toThrow('Nothing in')
  const server = await start(to)
  expect(await load(server, code)).toBe('kept')
})
