import { expect, test } from 'bun:test'
import { everyColumn, noColumn } from './support/columns.ts'
import { hash, T, testStore, text } from './support/support.ts'

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
