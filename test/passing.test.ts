/** Passing a text from one home to another: the page, the extension, curl, Chromium, Firefox. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Kind } from './support/browsers.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import { describeIn, load, openExtension, openPage, write } from './support/homes.ts'
import { type TestServer, testServer } from './support/server.ts'

const TEXT = 'Küche, 부엌, кухня 🍳\n\ttabs, "quotes" and \\ stay\n\n  <b>as they are</b> & so on \n'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server[Symbol.asyncDispose]())

for (const kind of [CHROMIUM, FIREFOX] as Kind[]) {
  describeIn(kind, (browser) => {
    test('what the extension writes, the page loads', async () => {
      const code = await write(await openExtension(browser(), server), TEXT)
      expect(await load(await openPage(browser(), server), code)).toBe(TEXT)
    })

    test('what the page writes, the extension loads', async () => {
      const code = await write(await openPage(browser(), server), TEXT, { password: 'Löwe', once: true })
      expect(await load(await openExtension(browser(), server), code, 'Löwe')).toBe(TEXT)
      expect(await server.load(code)).toBeUndefined()
    })

    test('what curl writes, the page loads; what the page writes, curl loads', async () => {
      const page = await openPage(browser(), server)
      const code = (await curl('--data-binary', TEXT, `${server.url}/?expires=10m`)).trim()
      expect(await load(page, code)).toBe(TEXT)
      expect(await curl(`${server.url}/${await write(page, TEXT)}`)).toBe(TEXT)
    })

    test('the link that the page gives opens with the code filled in, and waits for the person', async () => {
      const page = await openPage(browser(), server)
      const code = await write(page, 'read once', { once: true })
      const link = await page.evaluate(() => document.querySelector<HTMLAnchorElement>('#written-link')?.href ?? '')
      expect(link).toBe(`${server.url}/#${code}`)
      const other = await openPage(browser(), server, `#${code}`)
      expect(await other.text('#load-code')).toBe(code)
      expect(await other.text('#loaded-text')).toBe('')
      expect(server.query('SELECT code FROM text WHERE code = ?', code)).toHaveLength(1)
      await other.click('#load-submit')
      await other.says('#loaded-text', /^read once$/)
      expect(server.query('SELECT code FROM text WHERE code = ?', code)).toHaveLength(0)
    })

    test('a browser that opens the bare address of a code comes to the same page', async () => {
      const code = await server.write('read once', { once: true })
      const page = await browser().open(`${server.url}/${code}`)
      await page.says('#load-code', new RegExp(`^${code}$`))
      expect(await server.load(code)).toBe('read once')
    })

    if (kind === CHROMIUM) return
    test.skipIf(CHROMIUM.isSkipped)('what one browser writes, the other loads', async () => {
      const chromium = await CHROMIUM.launch()
      try {
        const here = await openPage(browser(), server)
        const there = await openPage(chromium, server)
        expect(await load(there, await write(here, TEXT))).toBe(TEXT)
        expect(await load(here, await write(there, `${TEXT}!`))).toBe(`${TEXT}!`)
      } finally {
        await chromium.close()
      }
    })
  })
}

async function curl(...args: string[]): Promise<string> {
  return new Response(Bun.spawn(['curl', '--silent', '--show-error', '--fail', ...args]).stdout).text()
}
