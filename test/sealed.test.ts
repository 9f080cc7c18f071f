/** Sealed texts at the server: what it keeps of them, to whom it gives them, and that it cannot read them. */
import { expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { seal, unlock } from '../extension/seal.ts'
import { run, testApp } from './support/support.ts'

const SEAL = '1.argon2id.m=65536,t=3,p=1.AAAAAAAAAAAAAAAAAAAAAA'
const AUTH = 'A'.repeat(43)
const WRONG = 'B'.repeat(43)
const SEALED = { text: 'c2VhbGVk', seal: SEAL, password: AUTH }

async function writeSealed(service: Awaited<ReturnType<typeof testApp>>, once = false) {
  const { data } = await service.api.write.post({ ...SEALED, once })
  return data?.code ?? ''
}

test('a sealed text is given only to what was derived from its password, and the refusal names the seal', async () => {
  await using service = await testApp()
  const code = await writeSealed(service)
  const refused = async (password?: string) => (await service.post('/api/load', { code, password })).json()
  expect(await refused()).toMatchObject({ error: { code: 'password_required', seal: SEAL } })
  expect(await refused(WRONG)).toMatchObject({ error: { code: 'wrong_password', triesLeft: 4, seal: SEAL } })
  const { data } = await service.api.load.post({ code, password: AUTH })
  expect(data).toMatchObject({ text: SEALED.text, seal: SEAL, once: false })
})

test('a text that is not sealed names no seal', async () => {
  await using service = await testApp()
  const { data } = await service.api.write.post({ text: 'open', password: AUTH })
  const code = data?.code ?? ''
  expect(await (await service.post('/api/load', { code })).text()).not.toContain('seal')
  expect((await service.api.load.post({ code, password: AUTH })).data).not.toHaveProperty('seal')
})

test('a seal of another form, a text that is no base64url, and a password that was not derived are refused', async () => {
  await using service = await testApp()
  const { password, ...bare } = SEALED
  for (const [field, body] of [
    ['seal', { ...SEALED, seal: '' }],
    ['seal', { ...SEALED, seal: SEAL.replace('1.', '2.') }],
    ['seal', { ...SEALED, seal: `${SEAL}\0` }],
    ['seal', { ...SEALED, seal: SEAL.replace('m=65536', 'm=99999999999') }],
    ['text', { ...SEALED, text: 'not sealed' }],
    ['text', { ...SEALED, text: 'c2Vh+GVk' }],
    ['password', bare],
    ['password', { ...SEALED, password: 'secret' }],
    ['password', { ...SEALED, password: `${password}A` }],
  ] as const) {
    const answer = await service.post('/api/write', body)
    expect([answer.status, (await answer.json()).error.issues[0].path]).toEqual([422, field])
  }
})

test('the size of a text counts as it was before it was sealed', async () => {
  await using service = await testApp({ MAX_TEXT_BYTES: '1000' })
  const sized = (length: number) => service.post('/api/write', { ...SEALED, text: 'x'.repeat(length) })
  expect((await sized(1700)).status).toBe(201)
  expect((await sized(1701)).status).toBe(413)
})

test('the largest text that cannot be compressed is taken when it is sealed', async () => {
  await using service = await testApp({ MAX_TEXT_BYTES: '1000' })
  for (const size of [1, 27, 500, 1000]) {
    const text = Array.from({ length: size }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join('')
    const { auth, ...sealed } = await seal(text, 'password', false)
    expect((await service.post('/api/write', { ...sealed, password: auth })).status).toBe(201)
  }
})

test('a raw load of a sealed text is refused with a link, before any password is asked for, and takes nothing', async () => {
  await using service = await testApp()
  for (const once of [false, true]) {
    const code = await writeSealed(service, once)
    const authorization = `Basic ${btoa(`:${AUTH}`)}`
    for (const init of [
      {},
      { method: 'POST' },
      { headers: { authorization } },
      { method: 'POST', headers: { authorization } },
    ]) {
      const answer = await service.fetch(`/${code}`, init)
      expect(answer.status).toBe(409)
      expect(answer.headers.has('www-authenticate')).toBe(false)
      expect(await answer.text()).toContain(`http://localhost/#${code}`)
    }
    expect((await service.fetch(`/${code}`, { method: 'HEAD' })).status).toBe(409)
    const loaded = await service.post('/api/load', { code, password: AUTH })
    expect(loaded.status).toBe(200)
  }
})

test('a sealed text is locked after five wrong tries, and a once-only one is still there', async () => {
  await using service = await testApp()
  const code = await writeSealed(service, true)
  const load = async (password: string, client: string) =>
    (await service.post('/api/load', { code, password }, { 'x-client': client })).status
  for (let tries = 0; tries < 5; tries++) expect(await load(WRONG, '192.0.2.1')).toBe(401)
  expect(await load(AUTH, '192.0.2.1')).toBe(429)
  expect(await load(AUTH, '198.51.100.1')).toBe(200)
  expect(await load(AUTH, '198.51.100.1')).toBe(404)
})

test('a glimpse of a sealed text counts as a miss, as that of any text with a password', async () => {
  await using service = await testApp({ MISSES_PER_HOUR: '3' })
  for (let misses = 0; misses < 3; misses++) await service.fetch(`/${await writeSealed(service)}`)
  expect((await service.post('/api/load', { code: 'aaaa' })).status).toBe(429)
})

test('neither the text nor its password nor the key is in the database, and its operator is told that it is sealed', async () => {
  await using service = await testApp()
  const [text, password] = ['the words of the text', 'the words of the password']
  const { auth, ...sealed } = await seal(text, password, false)
  const { data } = await service.api.write.post({ ...sealed, password: auth })
  const code = data?.code ?? ''
  const told = (await run('text:find', service.path, code)).join('\n')
  expect(told).toMatch(/sealed +yes/)
  expect(told).not.toContain(sealed.text)
  const files = readdirSync(dirname(service.path)).filter((name) => name.startsWith(basename(service.path)))
  expect(files.length).toBeGreaterThan(0)
  const bytes = Buffer.concat(files.map((name) => readFileSync(join(dirname(service.path), name))))
  expect(bytes.includes(sealed.text.slice(0, 40))).toBe(true)
  for (const secret of [text, password, auth]) expect(bytes.includes(secret)).toBe(false)
  const { open } = await unlock(password, sealed.seal)
  const loaded = await service.api.load.post({ code, password: auth })
  expect(await open(loaded.data?.text ?? '', loaded.data?.once ?? true)).toBe(text)
})
