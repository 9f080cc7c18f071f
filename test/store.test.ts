import { expect, test } from 'bun:test'
import type { NewText } from '../db/store.ts'
import { everyColumn, noColumn } from './support/columns.ts'
import { hash, type Stored, T, testStore, text } from './support/support.ts'

test('codes are drawn from all over the pool, and no code twice', async () => {
  await using stored = await testStore()
  const codes = await Promise.all(Array.from({ length: 2000 }, (_, i) => stored.store.write(text(`${i}`), T)))
  expect(new Set(codes).size).toBe(2000)
  for (const place of [0, 1, 2, 3]) expect(new Set(codes.map((code) => code[place])).size).toBe(52)
})

test('every column of a text comes back as it was written, also where it is empty', async () => {
  await using stored = await testStore()
  const texts = [text('every', everyColumn), text('none', noColumn), text('large'.padEnd(70_000), everyColumn)]
  const codes = await Promise.all(texts.map((text) => stored.store.write(text, T)))
  for (const [at, code] of codes.entries()) {
    expect(await stored.store.load(code, T)).toEqual({ ...(texts[at] as (typeof texts)[0]), code, createdAt: T })
  }
})

test('the draw begins anew at the end of the pool, and takes the very last code', async () => {
  await using stored = await testStore()
  stored.query(`UPDATE code SET rests_until = ? WHERE code <> 'AAAA'`, T + 1000)
  expect(await stored.store.write(text('a'), T)).toBe('AAAA')
  await expect(stored.store.write(text('b'), T)).rejects.toMatchObject({
    reason: 'no_codes_left',
    details: { retryAfter: 1 },
  })
})

test('where no text is stored either, a new code is promised for the end of the first rest', async () => {
  await using stored = await testStore()
  stored.query('UPDATE code SET rests_until = ?', T + 50_000)
  await expect(stored.store.write(text('a'), T)).rejects.toMatchObject({ details: { retryAfter: 50 } })
})

test('a returned code rests, and is lent again afterwards', async () => {
  await using stored = await testStore({ codeRestSeconds: 100 })
  stored.query(`UPDATE code SET rests_until = ? WHERE code <> 'AbCd'`, T + 1e9)
  for (const [now, codes] of [
    [T, 'AbCd'],
    [T + 100_000, 'AbCd'],
  ] as const) {
    expect(await stored.store.write(text('a', { expiresAt: now + 50_000 }), now)).toBe(codes)
    expect(await stored.store.erase('AbCd', hash('a'), now)).toBe(true)
    await expect(stored.store.write(text('b'), now + 99_000)).rejects.toMatchObject({ reason: 'no_codes_left' })
  }
})

test('without a rest a returned code is lent again at once, also where the pool had been empty', async () => {
  await using stored = await testStore({ codeRestSeconds: 0 })
  stored.query(`UPDATE code SET rests_until = ? WHERE code <> 'AbCd'`, T + 1e9)
  await stored.store.write(text('a'), T)
  await expect(stored.store.write(text('b'), T)).rejects.toMatchObject({
    reason: 'no_codes_left',
    details: { retryAfter: 60 },
  })
  await stored.store.erase('AbCd', hash('a'), T)
  expect(await stored.store.write(text('b'), T)).toBe('AbCd')
})

test('a text that has no room takes none from those that were written with it', async () => {
  await using stored = await testStore({ maxStoredBytes: 100 })
  const bodies = ['12345', 'x'.repeat(101), '67890', 'y'.repeat(70_000), 'z'.repeat(90)]
  const written = await Promise.allSettled(bodies.map((body) => stored.store.write(text(body), T)))
  expect(written.map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, false, true])
  await expect(stored.store.write(text('1'), T)).rejects.toMatchObject({ reason: 'storage_full' })
})

/** Writes all at once; returns the codes of those that were taken, and what the others were told. */
async function writeAll(stored: Stored, texts: NewText[], now = T) {
  const written = await Promise.allSettled(texts.map((text) => stored.store.write(text, now)))
  return {
    codes: written.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    refusals: written.flatMap((result) =>
      result.status === 'rejected' ? [`${result.reason.reason}: ${result.reason.message}`] : [],
    ),
  }
}

const many = (count: number, of: (i: number) => NewText) => Array.from({ length: count }, (_, i) => of(i))

test('no more texts are stored than may be, however many are written at once, and each that goes makes room for one', async () => {
  await using stored = await testStore({ maxTexts: 50 })
  const texts = many(200, () => text('12345'))
  const { codes, refusals } = await writeAll(stored, texts)
  expect(codes).toHaveLength(50)
  expect(new Set(refusals)).toEqual(new Set(['storage_full: The server holds as many texts as it may.']))
  for (const code of codes.slice(0, 3)) await stored.store.erase(code, hash('12345'), T)
  expect((await writeAll(stored, texts)).codes).toHaveLength(3)
  expect((await stored.store.stats(T)).texts).toBe(50)
  expect(stored.store.known()).toEqual({ texts: 50, bytes: 250 })
})

test('the texts of one writer take a tenth of the room, however many are written at once; others go on', async () => {
  await using stored = await testStore({ maxStoredBytes: 10_000 })
  const of = (writer: number | null) => many(100, (i) => text(`${i}`.padEnd(40), { writer }))
  const [one, other, none] = await Promise.all([of(1), of(2), of(null)].map((texts) => writeAll(stored, texts)))
  expect([one?.codes.length, other?.codes.length, none?.codes.length]).toEqual([25, 25, 100])
  const share =
    'storage_full: The texts from your network take as much of the room of this server as those of one network may. Erase some of them, or write a shorter one.'
  expect(new Set(one?.refusals)).toEqual(new Set([share]))
})

test('whatever ends a text gives its writer exactly its bytes back, also after a start', async () => {
  await using stored = await testStore({ maxStoredBytes: 1000 })
  const added = { writer: 65_535, eraseTokenHash: hash('all') }
  const soon = T + 1000
  const fill = async (now: number, room: number) => {
    expect((await writeAll(stored, [text('x'.repeat(room + 1), added)], now)).codes).toEqual([])
    return (await writeAll(stored, [text('x'.repeat(room), { ...added, expiresAt: now + 1000 })], now)).codes[0] ?? ''
  }
  const [erased = '', loaded = '', swept = ''] = (
    await writeAll(
      stored,
      [10, 20, 40].map((size) => text('x'.repeat(size), { ...added, expiresAt: soon })),
    )
  ).codes
  await fill(T, 30)
  await stored.reopen()
  await stored.store.erase(erased, hash('all'), T)
  await fill(T, 10)
  await stored.store.load(loaded, soon)
  await fill(soon, 20)
  expect(await stored.store.load(swept, T)).toBeDefined()
  await stored.store.sweep(soon)
  await fill(soon, 30 + 10 + 40)
  await stored.reopen()
  expect((await writeAll(stored, [text('x', added)], soon)).codes).toEqual([])
  await stored.store.sweep(soon + 1000)
  await fill(soon + 1000, 100)
})

test('the last quarter of the room takes only small texts that live for up to a day', async () => {
  const max = 200_000
  await using stored = await testStore({ maxStoredBytes: max })
  const [day, small] = [T + 86_400_000, 'x'.repeat(16_384)]
  await stored.store.write(text('x'.repeat((max * 3) / 4 - 16_385), { expiresAt: day + 1 }), T)
  const { codes, refusals } = await writeAll(stored, [text(`${small}xx`), text(small, { expiresAt: day + 1 })])
  expect([codes.length, refusals.length]).toEqual([1, 1]) // The second just fits into the first three quarters.
  const nearlyFull =
    'storage_full: The server is nearly full: it takes only texts of up to 16,384 bytes that are kept for up to a day.'
  expect(refusals).toEqual([nearlyFull])
  for (const refused of [text(`${small}x`), text('xx', { expiresAt: day + 1 })]) {
    expect(await writeAll(stored, [refused])).toEqual({ codes: [], refusals: [nearlyFull] })
  }
  expect(
    (
      await writeAll(
        stored,
        many(4, () => text(small, { expiresAt: day })),
      )
    ).codes,
  ).toHaveLength(3)
  const { refusals: full } = await writeAll(stored, [text(small)])
  expect(full).toEqual(['storage_full: The server has no room for a text of this size.'])
})

test('many that write and erase at once never have more than there is room for, and the sums stay right', async () => {
  await using stored = await testStore({ maxTexts: 60, maxStoredBytes: 2000 })
  const eraseTokenHash = hash('all')
  await Promise.all(
    many(20, (i) => text(`${i}`.padEnd(10 + i), { writer: [null, 1, 2, 3][i % 4], eraseTokenHash })).map(
      async (added) => {
        for (let round = 0; round < 15; round++) {
          const { codes } = await writeAll(
            stored,
            many(4, () => added),
          )
          const { texts, bytes } = await stored.store.stats(T)
          expect([texts <= 60, bytes <= 2000]).toEqual([true, true])
          const [kept] = round === 14 ? codes : []
          for (const code of codes)
            if (code !== kept) expect(await stored.store.erase(code, eraseTokenHash, T)).toBe(true)
        }
      },
    ),
  )
  const sums = stored.query<{ writer: number | null; bytes: number }>(
    'SELECT writer, sum(octet_length(body)) AS bytes FROM text GROUP BY writer',
  )
  for (const { writer, bytes } of sums) {
    if (writer === null) continue
    const left = 200 - bytes
    expect(
      (await writeAll(stored, [text('x'.repeat(left + 1), { writer }), text('x'.repeat(left), { writer })])).codes,
    ).toHaveLength(1)
  }
})

test('an expired text is loaded by nobody, and its code is in the pool after the load', async () => {
  await using stored = await testStore()
  const code = await stored.store.write(text('a'), T)
  expect((await stored.store.load(code, T + 59_999))?.body).toBe('a')
  expect(await stored.store.load(code, T + 60_000)).toBeUndefined()
  expect(stored.query('SELECT rests_until FROM code WHERE code = ?', code)).toEqual([
    { rests_until: T + 60_000 + 86_400_000 },
  ])
  expect(stored.query('SELECT code FROM text')).toEqual([])
})

test('an expired text is erased by nobody', async () => {
  await using stored = await testStore()
  const code = await stored.store.write(text('a'), T)
  expect(await stored.store.erase(code, hash('a'), T + 60_000)).toBe(false)
})

test('the sweep deletes what has expired, returns the codes, and leaves the rest', async () => {
  await using stored = await testStore()
  const expiring = Array.from({ length: 500 }, (_, i) => stored.store.write(text(`${i}`, { expiresAt: T + i }), T))
  const codes = await Promise.all(expiring)
  expect(await stored.store.sweep(T + 299)).toBe(300)
  expect(await stored.store.sweep(T + 299)).toBe(0)
  const left = stored.query<{ code: string }>('SELECT code FROM text').map(({ code }) => code)
  expect(left.sort()).toEqual(codes.slice(300).sort())
  expect(stored.query('SELECT count(*) AS n FROM code WHERE rests_until = ?', T + 299 + 86_400_000)).toEqual([
    { n: 300 },
  ])
})

test('loads and writes go on while many texts are swept', async () => {
  await using stored = await testStore()
  const codes: string[] = []
  while (codes.length < 10_000) {
    codes.push(...(await Promise.all(Array.from({ length: 1000 }, (_, i) => stored.store.write(text(`${i}`), T)))))
  }
  const living = await stored.store.write(text('living', { expiresAt: T + 1e6 }), T)
  let swept = false
  const sweep = stored.store.sweep(T + 60_000).then((count) => {
    swept = true
    return count
  })
  let between = 0
  while (!swept) {
    expect((await stored.store.load(living, T + 60_000))?.body).toBe('living')
    await stored.store.write(text(`more ${between++}`, { expiresAt: T + 1e6 }), T + 60_000)
  }
  expect(await sweep).toBe(codes.length)
  expect(between).toBeGreaterThan(10)
})
