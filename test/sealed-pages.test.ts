/** Sealed texts through the pages that people use: only what nobody can read leaves the browser. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from './support/browsers.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import {
  askFor,
  describeIn,
  isReady,
  loadedText,
  openExtension,
  openPage,
  tells,
  write,
  writtenCode,
} from './support/homes.ts'
import { type RecordedServer, record } from './support/recorder.ts'
import { type TestServer, testServer } from './support/server.ts'

const TEXT = 'nobody else may read this'
/** It has the form of one that is suggested. */
const PASSWORD = 'kakikukotomapasu'

let server: TestServer
/** The same server behind a recorder. */
let recorded: RecordedServer
beforeAll(async () => {
  server = await testServer()
  recorded = record(server)
})
afterAll(async () => {
  await recorded[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const open = { page: openPage, extension: openExtension }
type Home = keyof typeof open
const pageOf = (home: Home, browser: Browser) => open[home](browser, recorded)

describeIn(CHROMIUM, (chromium) => {
  describeIn(FIREFOX, (firefox) => {
    test.each([
      ['page', chromium, 'page', firefox],
      ['extension', chromium, 'page', firefox],
      ['extension', firefox, 'page', chromium],
      ['page', firefox, 'extension', chromium],
    ] as const)(
      'a text sealed by the %s of one browser is opened by another, and nobody between reads it',
      async (from, writer, to, reader) => {
        recorded.requests = []
        const code = await write(await pageOf(from, writer()), TEXT, { password: PASSWORD, once: true })
        const page = await pageOf(to, reader())
        await askFor(page, code)
        await tells(page, 'error_password_required')
        await page.type(PASSWORD, '#load-password')
        await page.click('#load-submit')
        expect(await loadedText(page)).toBe(TEXT)
        const all = JSON.stringify(recorded.requests)
        expect(recorded.requests.map(({ body }) => body).join()).toContain('"seal":"1.argon2id.')
        expect(all).not.toContain(TEXT)
        expect(all).not.toContain(PASSWORD)
      },
    )
  })

  test('a text that was not sealed gets its password only from who has read that it was not', async () => {
    const code = await server.write(TEXT, { password: PASSWORD })
    const page = await openPage(chromium(), recorded)
    recorded.requests = []
    await askFor(page, code)
    await tells(page, 'error_not_sealed')
    await page.type(PASSWORD, '#load-password')
    expect(JSON.stringify(recorded.requests)).not.toContain(PASSWORD)
    await page.click('#load-submit')
    expect(await loadedText(page)).toBe(TEXT)
  })

  test('a password that was pasted with the code is sent to an unsealed text by no second press', async () => {
    const code = await server.write(TEXT, { password: PASSWORD })
    const page = await openPage(chromium(), recorded)
    recorded.requests = []
    await page.click('#load-tab')
    await page.fill('#load-code', `${code} ${PASSWORD}`)
    await page.press('Enter')
    await tells(page, 'error_not_sealed')
    await page.press('Enter')
    await page.click('#load-submit')
    await page.until('both presses to be answered', () => !document.querySelector('[aria-busy]'))
    expect(JSON.stringify(recorded.requests)).not.toContain(PASSWORD)
    await page.type(PASSWORD, '#load-password')
    await page.click('#load-submit')
    expect(await loadedText(page)).toBe(TEXT)
  })

  test('a password that was pasted and not asked for is said to be unused', async () => {
    const page = await openPage(chromium(), recorded)
    await page.click('#load-tab')
    await page.fill('#load-code', `${await server.write('forged')} ${PASSWORD}`)
    await page.press('Enter')
    expect(await loadedText(page)).toBe('forged')
    await tells(page, 'passwordUnused')
  })

  test('a code that another sealed text has meanwhile is opened by the password of that one, at once', async () => {
    const page = await openPage(chromium(), recorded)
    const code = await write(page, TEXT, { password: 'of the first' })
    const reader = await openPage(chromium(), recorded)
    await askFor(reader, code)
    await tells(reader, 'error_password_required')
    await page.click('#write-another')
    const other = await write(page, 'the second', { password: PASSWORD })
    server.query(`UPDATE text SET code = 'gone' WHERE code = '${code}'`)
    server.query(`UPDATE text SET code = '${code}' WHERE code = '${other}'`)
    await reader.type(PASSWORD, '#load-password')
    await reader.click('#load-submit')
    expect(await loadedText(reader)).toBe('the second')
  })

  test('a sealed text under another seal is not shown, and a wrong password says so', async () => {
    const page = await openPage(chromium(), recorded)
    const code = await write(page, TEXT, { password: PASSWORD })
    const other = await openPage(chromium(), recorded)
    await askFor(other, code)
    await tells(other, 'error_password_required')
    await other.type('wrong', '#load-password')
    await other.click('#load-submit')
    await tells(other, 'error_wrong_password')
    // What the text is sealed with is known by now.
    recorded.requests = []
    server.query(`UPDATE text SET once = 1 WHERE code = '${code}'`)
    await other.fill('#load-password', PASSWORD)
    await other.click('#load-submit')
    await tells(other, 'error_seal_tampered')
    expect(recorded.requests.filter(({ path }) => path === '/api/load')).toHaveLength(1)
  })

  test('it is said before a password is typed whether it stays here, and after the text is written whether it is sealed', async () => {
    for (const page of [await openPage(chromium(), recorded), await openExtension(chromium(), recorded)]) {
      await page.seesNo('#write-seal')
      await page.click('#write-password')
      await page.says('#write-seal', /never leaves this computer/)
      await write(page, TEXT, { password: PASSWORD })
      await page.says('#written-seal', /^sealed$/)
      await page.click('#write-another')
      await page.seesNo('#write-seal')
      await write(page, TEXT)
      await page.says('#written-seal', /^not sealed$/)
    }
  })

  test('on plain http the password goes to the server, which is said before and after; what is sealed is opened elsewhere', async () => {
    const sealed = await write(await openPage(chromium(), recorded), TEXT, { password: PASSWORD })
    recorded.requests = []
    const page = await chromium().open(recorded.url.replace('127.0.0.1', 'plain.test'))
    await isReady(page)
    await page.click('#write-password')
    await page.says('#write-seal', /the server will see the password/)
    const code = await write(page, TEXT, { password: PASSWORD })
    await page.says('#written-seal', /password, not sealed/)
    expect(JSON.stringify(recorded.requests)).toContain(PASSWORD)
    expect(await server.load(code, PASSWORD)).toBe(TEXT)
    await askFor(page, sealed)
    await tells(page, 'error_seal_insecure')
  })

  test('a password that is suggested is shown, copied behind the code, and taken from there where it is pasted', async () => {
    const page = await openPage(chromium(), recorded)
    await page.fill('#write-text', TEXT)
    await page.click('#write-password')
    await page.click('#suggest-password')
    await tells(page, 'suggested')
    const password = await page.evaluate(() => {
      const { type, value } = document.querySelector('#write-password') as HTMLInputElement
      return type === 'text' ? value : ''
    })
    expect(password).toMatch(/^[a-z]{16}$/)
    await page.click('#write-submit')
    const code = await writtenCode(page)
    await tells(page, 'copiedBoth')
    expect(await chromium().clipboard()).toBe(`${code} ${password}`)
    await page.says('#written-password', new RegExp(password))
    const other = await openPage(chromium(), recorded)
    await other.click('#load-tab')
    await other.fill('#load-code', `${code} ${password}`)
    await other.press('Enter')
    expect(await loadedText(other)).toBe(TEXT)
    // Also where no field has the focus; the box, which is remembered, is no place for a password.
    const third = await openPage(chromium(), recorded)
    await third.evaluate((text) => {
      const clipboardData = new DataTransfer()
      clipboardData.setData('text', text)
      document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
    }, `${code} ${password}`)
    await third.until('the code to be taken', () => (document.querySelector('#load-code') as HTMLInputElement).value)
    expect(await third.text('#write-text')).toBe('')
    // Nothing keeps it: the code that is opened again stands alone.
    await page.reload()
    await isReady(page)
    await page.says('#written-code', /./)
    await page.seesNo('#written-password')
  })

  test('a suggested password leaves the page with the code that it was suggested for', async () => {
    const page = await openPage(chromium(), recorded)
    await page.fill('#write-text', TEXT)
    await page.click('#write-password')
    await page.click('#suggest-password')
    await page.click('#write-submit')
    await writtenCode(page)
    const shown = () => page.evaluate(() => document.querySelector('#written-password code')?.textContent)
    expect(await shown()).not.toBe('')
    await page.click('#write-another')
    expect(await shown()).toBe('')
  })
})
