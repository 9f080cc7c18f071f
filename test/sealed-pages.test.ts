/** Sealed texts through the pages that people use: only what nobody can read leaves the browser. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from './support/browsers.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import { askFor, describeIn, loadedText, openExtension, openPage, tells, write } from './support/homes.ts'
import { type TestServer, testServer } from './support/server.ts'

const TEXT = 'nobody else may read this'
const PASSWORD = 'kakikukotomapa'

let server: TestServer
let recorder: Bun.Server<undefined>
/** The server behind the recorder. */
let recorded: TestServer
/** All that came over the network. */
let requests: string[] = []

beforeAll(async () => {
  server = await testServer()
  recorder = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const body = await request.text()
      requests.push([request.url, JSON.stringify([...request.headers]), body].join('\n'))
      const { method, headers } = request
      return fetch(server.url + pathname + search, {
        ...{ method, headers, body: body || undefined, redirect: 'manual' },
        decompress: false,
      })
    },
  })
  recorded = { ...server, url: recorder.url.origin }
})
afterAll(async () => {
  await recorder.stop(true)
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
        requests = []
        const code = await write(await pageOf(from, writer()), TEXT, { password: PASSWORD, once: true })
        const page = await pageOf(to, reader())
        await askFor(page, code)
        await tells(page, 'error_password_required')
        await page.type(PASSWORD, '#load-password')
        await page.click('#load-submit')
        expect(await loadedText(page)).toBe(TEXT)
        const all = requests.join('\n')
        expect(all).toContain('"seal":"1.argon2id.')
        expect(all).not.toContain(TEXT)
        expect(all).not.toContain(PASSWORD)
      },
    )
  })

  test('a text that was not sealed gets its password only from who has read that it was not', async () => {
    const code = await server.write(TEXT, { password: PASSWORD })
    const page = await openPage(chromium(), recorded)
    requests = []
    await askFor(page, code)
    await tells(page, 'error_not_sealed')
    await page.type(PASSWORD, '#load-password')
    expect(requests.join('\n')).not.toContain(PASSWORD)
    await page.click('#load-submit')
    expect(await loadedText(page)).toBe(TEXT)
  })

  test('a sealed text under another seal is not shown, and a wrong password says so', async () => {
    const page = await openPage(chromium(), recorded)
    const code = await write(page, TEXT, { password: PASSWORD })
    expect(await page.text('#written-password')).toBe('sealed')
    const other = await openPage(chromium(), recorded)
    await askFor(other, code)
    await tells(other, 'error_password_required')
    await other.type('wrong', '#load-password')
    await other.click('#load-submit')
    await tells(other, 'error_wrong_password')
    server.query(`UPDATE text SET once = 1 WHERE code = '${code}'`)
    await other.fill('#load-password', PASSWORD)
    await other.click('#load-submit')
    await tells(other, 'error_seal_tampered')
  })
})
