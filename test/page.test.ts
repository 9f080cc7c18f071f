/** The web page as a page: what it weighs and asks for, that everyone can use it, on every screen and without a network. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import axe from 'axe-core'
import jsQR from 'jsqr'
import lighthouse from 'lighthouse'
import { newReceiver } from '../extension/hpke.ts'
import { LANGUAGES } from '../extension/languages.ts'
import type { Page } from './support/browsers.ts'
import { CHROMIUM, type ChromiumPage } from './support/chromium.ts'
import {
  askFor,
  describeIn,
  isReady,
  load,
  loadedText,
  openExtension,
  openPage,
  tells,
  write,
  writtenCode,
} from './support/homes.ts'
import { poll } from './support/poll.ts'
import { type TestServer, testServer } from './support/server.ts'
import { temporaryPath } from './support/support.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server[Symbol.asyncDispose]())

describeIn(CHROMIUM, (chromium) => {
  const open = async (at = '') => (await openPage(chromium(), server, at)) as ChromiumPage

  /** Leads `page` through everything that a person may see there, and stops at each. */
  async function* screens(page: ChromiumPage) {
    yield 'write'
    await page.fill('#write-text', `${'x'.repeat(99)}\n`.repeat(11_000))
    yield 'write, too large'
    await page.fill('#write-text', 'for once only')
    await page.type('secret', '#write-password')
    await page.click('#write-once')
    yield 'write, filled'
    await page.click('#write-submit')
    const code = await writtenCode(page)
    yield 'written'
    await page.click('summary')
    yield 'written, with a large QR code'
    await page.click('#erase')
    yield 'erase?'
    await page.click('#write-another')
    yield 'list'
    await page.click('#load-tab')
    yield 'load'
    await page.click('#load-submit')
    await page.sees('#message.error')
    yield 'load, incomplete'
    await page.type('qQzZ', '#load-code')
    await tells(page, 'error_not_found')
    yield 'load, wrong'
    await page.press('Escape')
    await page.type(code, '#load-code')
    await page.click('#load-submit')
    await tells(page, 'error_password_required')
    yield 'load, password'
    await page.type('secret', '#load-password')
    await page.click('#load-submit')
    await loadedText(page)
    yield 'loaded'
    await page.click('#receive-start')
    await page.says('#receive-words', /./)
    yield 'receiving'
    await page.click('#receiving summary')
    yield 'receiving, with a large QR code'
    await page.click('#receive-cancel')
    await tells(page, 'receiveCancelled')
    yield 'receiving, cancelled'
    const { publicKey } = await newReceiver()
    const { code: other, receiveToken } = await server.receive(publicKey)
    await page.fill('#load-code', '')
    await page.type(other, '#load-code')
    await tells(page, 'error_receiving')
    yield 'load, of one who waits'
    await page.click('#to-waiting')
    await page.says('#to-words', /./)
    yield 'write, addressed'
    await page.fill('#write-text', 'a text')
    await page.click('#write-submit')
    await writtenCode(page)
    yield 'written, addressed'
    await server.awaitText(other, receiveToken)
    await page.says('#written-receipt', /loaded|./)
    yield 'written, and read'
    await page.click('#write-another')
    yield 'list, with a receipt'
    await page.click('#to-open')
    yield 'write, to a code'
  }

  async function expectNoViolations(page: ChromiumPage, screen: string) {
    for (const theme of ['light', 'dark']) {
      // A colour that is on its way to the other scheme is no one's.
      await page.puppet.emulateMediaFeatures([
        { name: 'prefers-color-scheme', value: theme },
        { name: 'prefers-reduced-motion', value: 'reduce' },
      ])
      const violations = await page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: { run(): Promise<axe.AxeResults> } }
        const { violations } = await axe.run()
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
      })
      expect([screen, theme, ...violations]).toEqual([screen, theme])
    }
  }

  test.each([1000, 390])('axe finds no violation on any screen %d pixels wide, light or dark', async (width) => {
    const page = await open()
    await page.resize(width, 800)
    await page.puppet.evaluate(axe.source)
    for await (const screen of screens(page)) await expectNoViolations(page, screen)
  })

  test('axe finds no violation in the extension’s popup and options', async () => {
    const popup = (await openExtension(chromium(), server)) as ChromiumPage
    await popup.puppet.evaluate(axe.source)
    await expectNoViolations(popup, 'popup')
    await write(popup, 'a text')
    await expectNoViolations(popup, 'popup, written')
    const options = await chromium().open(`${chromium().extension}options.html`)
    await isReady(options)
    await options.puppet.evaluate(axe.source)
    await expectNoViolations(options, 'options')
  })

  test.each(Object.keys(LANGUAGES))('every screen fits a phone of 320 pixels (%s)', async (language) => {
    const page = await open()
    await page.choose('#language', language)
    await page.resize(320, 640)
    for await (const screen of screens(page)) {
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      expect([screen, Math.max(0, overflow)]).toEqual([screen, 0])
    }
  })

  test('nothing moves for a person who asked for less motion', async () => {
    const page = await open()
    await page.puppet.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }])
    // What began to move before is no matter.
    await page.reload()
    await isReady(page)
    for await (const screen of screens(page)) {
      const moving = await page.evaluate(
        () => document.getAnimations().filter(({ effect }) => Number(effect?.getComputedTiming().duration) > 10).length,
      )
      expect([screen, moving]).toEqual([screen, 0])
    }
  })

  test('the language of the browser decides, until a person does', async () => {
    const page = await open()
    const browserSpeaks = async (languages: string) => {
      const session = await page.puppet.createCDPSession()
      const userAgent = await chromium().puppet.userAgent()
      await session.send('Emulation.setUserAgentOverride', { userAgent, acceptLanguage: languages })
      await page.reload()
      await isReady(page)
      return page.evaluate(() => document.documentElement.lang)
    }
    expect(await browserSpeaks('ko-KR,ko,en')).toBe('ko')
    expect(await page.text('#write-submit')).toMatch(/[가-힣]/)
    expect(await browserSpeaks('fr-FR,ko,en')).toBe('ko')
    expect(await browserSpeaks('ja')).toBe('ja')
    expect(await browserSpeaks('zh-TW,en')).toBe('zh-CN')
    expect(await browserSpeaks('fr-FR,de')).toBe('en')
    await page.choose('#language', 'ko')
    await page.says('#write-submit', /[가-힣]/)
    expect(await browserSpeaks('en-US')).toBe('ko')
  })

  test('the page weighs under 40 kB, and asks nobody else for anything', async () => {
    const page = await open()
    await load(page, await write(page, 'a text'))
    const asked = [...new Set(page.requests)].filter((url) => !url.includes('/api/') && !url.endsWith('/robots.txt'))
    for (const url of asked) expect(url).toStartWith(`${server.url}/`)
    let bytes = 0
    for (const url of new Set(asked.map((url) => url.replace(/#.*/, '')))) {
      const answer = await fetch(url, { headers: { 'accept-encoding': 'gzip' }, decompress: false })
      bytes += (await answer.arrayBuffer()).byteLength
    }
    expect(bytes).toBeGreaterThan(5000)
    expect(bytes).toBeLessThan(40_000)
  })

  test('the page runs nothing inline, and everything that it names is there', async () => {
    const answer = await fetch(server.url, { headers: { accept: 'text/html' } })
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toStartWith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ")
    expect(policy.replace("'wasm-unsafe-eval'", '')).not.toContain('unsafe')
    const html = await answer.text()
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=/)
    const named = [...html.matchAll(/<(?:script|link|img)[^>]*?(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path)
    expect(named.length).toBeGreaterThan(3)
    for (const path of named) {
      const file = await fetch(new URL(path, server.url))
      expect([path, file.status]).toEqual([path, 200])
      if (path.startsWith('/assets/')) expect(file.headers.get('cache-control')).toContain('immutable')
    }
  })

  test('the page can be installed, and every icon of its manifest has the size that it says', async () => {
    const page = await open()
    const session = await page.puppet.createCDPSession()
    const { installabilityErrors } = await session.send('Page.getInstallabilityErrors')
    expect(installabilityErrors).toEqual([])
    const manifest = await (await fetch(`${server.url}/app.webmanifest`)).json()
    for (const { src, sizes } of manifest.icons) {
      const png = Buffer.from(await (await fetch(new URL(src, server.url))).arrayBuffer())
      expect(`${png.readUInt32BE(16)}x${png.readUInt32BE(20)}`).toBe(sizes)
    }
  })

  test('markup in the address of the page is no code and no text of the page', async () => {
    for (const hash of ['#<img src=x onerror=window.hurt=1>', '#javascript:window.hurt=1', '#%', '#text=%', '#abcde']) {
      const page = await open(hash)
      expect(await page.text('#load-code')).toBe('')
      expect(await page.evaluate(() => 'hurt' in window)).toBe(false)
      await page.click('#write-tab')
      await page.close()
    }
  })

  test('a code that is put into the address of an open page is filled in', async () => {
    const page = await open()
    await page.evaluate(() => {
      location.hash = '#aBcD'
    })
    await page.says('#load-code', /^aBcD$/)
    await page.says('#load-spelling', /^small a · BIG B · small c · BIG D$/)
    expect(page.requests.filter((url) => url.includes('/api/'))).toEqual([])
  })

  test('a loaded text is saved as a file, byte for byte', async () => {
    const folder = temporaryPath('downloads')
    mkdirSync(folder)
    const session = await chromium().puppet.target().createCDPSession()
    await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder })
    const page = await open()
    const text = '\ufeffKüche\r\n부엌\n'
    const code = await server.write(text)
    await load(page, code)
    await page.click('#save-text')
    const file = await poll('the file', async () => {
      const file = readFileSync(join(folder, `extextcloud-${code}.txt`))
      return file.length > 0 && file
    })
    expect(file).toEqual(Buffer.from(text))
  })

  test('the page that looks on as the time runs out says so, and forgets the code', async () => {
    const page = await open()
    const code = await write(page, 'soon over', { expiresIn: 600 })
    await putClocksForward(page, 600_000)
    await tells(page, 'expired')
    await page.until('the list to forget', (code) => !document.querySelector(`li[data-code=${code}]`), code)
    await page.seesNo('#written-code')
  })

  test('a clock that is put forward takes nothing away: the server’s time counts', async () => {
    const page = await open()
    const code = await write(page, 'not over yet', { expiresIn: 600 })
    await page.evaluate(() => {
      const { now } = Date
      Date.now = () => now() + 5 * 3_600_000
    })
    await page.until('the server to be asked', () =>
      performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/health')),
    )
    await page.says('#written-left', /^Gone in (10|9) minutes/)
    expect(await writtenCode(page)).toBe(code)
    await page.click('#write-another')
    await page.says(`li[data-code=${code}]`, /(10|9) minutes/)
  })

  test('where no server tells the time, a text whose time seems to be up stays in the list', async () => {
    await using stopping = await testServer()
    const page = (await openPage(chromium(), stopping)) as ChromiumPage
    const code = await write(page, 'who knows', { expiresIn: 600 })
    await stopping.pause()
    await page.evaluate(() => {
      const { now } = Date
      Date.now = () => now() + 5 * 3_600_000
    })
    await page.until('the server to be asked', () =>
      performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/health')),
    )
    expect(await writtenCode(page)).toBe(code)
    stopping.resume()
  })

  test('a result is brought into view on a small screen', async () => {
    const page = await open()
    await page.resize(320, 300)
    const isInView = (selector: string) =>
      page.evaluate((selector) => {
        const { top = -1, bottom = 0 } = document.querySelector(selector)?.getBoundingClientRect() ?? {}
        return top >= 0 && Math.min(bottom, top + 80) <= innerHeight
      }, selector)
    const code = await write(page, 'seen at once')
    expect(await isInView('#written-code')).toBe(true)
    await load(page, code)
    expect(await isInView('#loaded-text')).toBe(true)
  })

  test('without a memory a code stays on show whatever else is loaded, until its text is erased', async () => {
    const page = await open()
    await page.evaluate(() => Object.defineProperty(window, 'localStorage', { value: null }))
    const code = await write(page, 'remembered by nobody')
    await load(page, await server.write('for once', { once: true }))
    await page.click('#write-tab')
    expect(await writtenCode(page)).toBe(code)
    await page.click('#erase')
    await page.evaluate(() => {
      const now = Date.now
      Date.now = () => now() + 1000
    })
    await page.click('#erase')
    await tells(page, 'erased')
    await page.seesNo('#written-code')
  })

  test('a text is shown though the browser refuses to keep it', async () => {
    const popup = await openExtension(chromium(), server)
    await popup.evaluate(() => {
      const { session } = chrome.storage
      const set = session.set.bind(session)
      session.set = async (items: object) => {
        if ('loaded' in items) throw new Error('QUOTA_BYTES quota exceeded')
        await set(items)
      }
    })
    expect(await load(popup, await server.write('more than fits', { once: true }))).toBe('more than fits')
    await tells(popup, 'textIsHere')
  })

  test('a text that was read for the only time outlives the popup, whatever the clock says', async () => {
    const popup = await openExtension(chromium(), server)
    await load(popup, await server.write('for once', { once: true }))
    await popup.until('the text to be kept', async () => {
      const { loaded } = await chrome.storage.session.get<{ loaded?: { expiresAt: number } }>('loaded')
      if (loaded) await chrome.storage.session.set({ loaded: { ...loaded, expiresAt: 1 } })
      return loaded
    })
    await popup.reload()
    await isReady(popup)
    expect(await loadedText(popup)).toBe('for once')
  })

  test('a code can be pasted without aiming at its field', async () => {
    const page = await open()
    await page.click('#load-tab')
    await page.evaluate(() => {
      const clipboardData = new DataTransfer()
      clipboardData.setData('text/plain', ' aB cD\n')
      document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, clipboardData }))
    })
    await page.says('#load-code', /^aBcD$/)
  })

  test('the keyboard of a phone neither capitalizes nor corrects a code', async () => {
    const page = await open()
    await page.click('#load-tab')
    const attributes = await page.evaluate(() =>
      ['autocapitalize', 'autocomplete', 'autocorrect', 'spellcheck'].map((name) =>
        document.querySelector('#load-code')?.getAttribute(name),
      ),
    )
    expect(attributes).toEqual(['none', 'off', 'off', 'false'])
  })

  /** The page once it can do without a network. */
  async function openForOffline() {
    const page = await open()
    await page.until('the page to be kept', async () => (await caches.match('/')) !== undefined)
    return page
  }

  test('without a network the page opens, and says what is wrong', async () => {
    const page = await openForOffline()
    await server.pause()
    try {
      await page.reload()
      await isReady(page)
      await askFor(page, 'aBcD')
      await tells(page, 'error_unreachable')
      await page.puppet.setOfflineMode(true)
      await page.click('#load-submit')
      await tells(page, 'error_offline')
    } finally {
      server.resume()
    }
    await page.puppet.setOfflineMode(false)
    await page.click('#load-submit')
    await tells(page, 'error_not_found')
  })

  test('a cache that takes nothing does not keep the page from opening', async () => {
    const page = await openForOffline()
    const target = await chromium().puppet.waitForTarget((target) => target.url().endsWith('/offline.js'))
    await (await target.worker())?.evaluate(() => {
      const { put } = Cache.prototype
      Cache.prototype.put = () => {
        Cache.prototype.put = put
        return Promise.reject(new DOMException('full', 'QuotaExceededError'))
      }
    })
    await page.evaluate(() => caches.delete('shell'))
    await page.reload()
    await isReady(page)
  })

  /** Shares as a phone's menu does. */
  async function share(page: ChromiumPage, fields: Record<string, string>) {
    await page.goto('about:blank')
    await page.evaluate(
      (origin, fields) => {
        const form = Object.assign(document.createElement('form'), {
          method: 'POST',
          action: `${origin}/share`,
          enctype: 'multipart/form-data',
        })
        for (const [name, value] of Object.entries(JSON.parse(fields))) {
          form.append(Object.assign(document.createElement('textarea'), { name, value }))
        }
        document.body.append(form)
        form.submit()
      },
      server.url,
      JSON.stringify(fields),
    )
  }

  test.each([
    [{ text: 'https://example.com/a', url: 'https://example.com/a' }, /^https:\/\/example\.com\/a$/],
    [{ title: 'A title', text: 'A title https://example.com/a', url: 'https://example.com/a' }, /^A title https\S+a$/],
    [{ title: 'A title', url: 'https://example.com/a' }, /^A title\nhttps\S+a$/],
  ])('what an app shares twice comes once: %j', async (fields, text) => {
    const page = await openForOffline()
    await share(page, fields)
    await page.click('#shared-take')
    await page.says('#write-text', text)
  })

  test('what a phone shares is filled in without passing the server, in place of an old code, and sent only by the person', async () => {
    const page = await openForOffline()
    await write(page, 'written before')
    const before = page.requests.length
    await server.pause()
    try {
      await share(page, { title: 'A <b>title</b>', text: 'shared from\na phone & more' })
      const text = /^A <b>title<\/b>\r?\nshared from\r?\na phone & more$/
      await page.says('#shared-text', text)
      await page.sees('#written-code')
      await page.click('#shared-take')
      await page.seesNo('#shared')
      await page.says('#write-text', text)
      await page.seesNo('#written-code')
      expect(await page.evaluate(() => location.href)).toBe(`${server.url}/`)
      expect(page.requests.slice(before).filter((url) => /\/api\/(?!status)|phone/.test(url))).toEqual([])
      expect(await page.evaluate(() => caches.has('shared'))).toBe(false)
      const other = await chromium().open(server.url)
      await isReady(other)
      expect(await other.text('#write-text')).toBe('')
    } finally {
      server.resume()
    }
  })

  test('a failure of the browser is not blamed on the server', async () => {
    const page = await open()
    await page.evaluate(() => {
      AbortSignal.timeout = () => {
        throw new Error('not the server')
      }
    })
    await askFor(page, 'aBcD')
    expect(await tells(page, 'error_local')).toContain('browser')
    expect((await chromium().problems()).length).toBeGreaterThan(0)
  })

  test('what any site’s form shares gets into the box only when the person says so', async () => {
    const page = await openForOffline()
    await page.fill('#write-text', 'my own')
    await share(page, { text: 'not mine' })
    await page.says('#shared-text', /^not mine$/)
    expect(await page.text('#write-text')).toBe('my own')
    await page.click('#shared-drop')
    await page.seesNo('#shared')
    await page.reload()
    await isReady(page)
    expect([await page.text('#shared'), await page.text('#write-text')]).toEqual(['', 'my own'])
  })

  test('what was shared before the page could take it is told to be lost', async () => {
    // No code, nor any word of ours, though every object knows it.
    await (await open('#constructor')).sees('#write-text')
    await tells(await open('#share-lost'), 'shareLost')
  })

  test('the page says who runs the server, in the person’s language', async () => {
    await using own = await testServer({ OPERATOR_NAME: 'Kim', OPERATOR_URL: 'https://www.example.com/about' })
    const page = (await openPage(chromium(), own)) as ChromiumPage
    expect(await page.text('#operator')).toBe('This server is run by Kim')
    await page.choose('#language', 'ko')
    await page.says('#operator', /운영자/)
    expect(await page.text('#operator')).toBe('이 서버의 운영자: Kim')
    expect(await page.evaluate(() => document.querySelector<HTMLAnchorElement>('footer a')?.href)).toBe(
      'https://www.example.com/about',
    )
    expect(await (await open()).text('#operator')).toBe('')
  })

  test('without JavaScript the page says what to do, and how to do it with curl', async () => {
    const page = await open()
    await page.puppet.setJavaScriptEnabled(false)
    await page.reload()
    const text = await page.says('body', /This page needs JavaScript\./)
    expect(text).toContain('자바스크립트')
    expect(text).toContain('curl ADDRESS/CODE')
    await page.puppet.setJavaScriptEnabled(true)
    await page.reload()
    await isReady(page)
    expect(await page.text('body')).not.toContain('JavaScript')
  })

  test('an address with nothing behind it leads to Load, which says so', async () => {
    for (const at of ['about', 'aBcDe', 'no/such/page']) {
      const page = await open(at)
      expect(await tells(page, 'wrongAddress')).toBe(
        'There is nothing at this address. A code has four letters, such as aBcD.',
      )
      await page.sees('#load-code')
      expect(await page.evaluate(() => location.pathname + location.hash)).toBe('/')
    }
  })

  test.each(['light', 'dark', 'darkened by an extension'])('the QR code leads to the code (%s)', async (theme) => {
    const page = await open()
    if (theme !== 'light' && theme !== 'dark') {
      await page.evaluate(() => {
        const sheet = new CSSStyleSheet()
        sheet.replaceSync('* { color: #e8e6e3 !important; background-color: #181a1b !important; fill: #181a1b }')
        document.adoptedStyleSheets = [sheet]
      })
    }
    await page.puppet.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value: theme === 'dark' ? 'dark' : 'light' },
    ])
    const code = await write(page, 'for a camera')
    const png = await (await page.puppet.$('#written-qr'))?.screenshot({ encoding: 'base64' })
    // Another page decodes the picture: this one's policy lets it load none.
    const blank = await chromium().open('about:blank')
    const [width = 0, height = 0, pixels = ''] = await blank.evaluate(async (png) => {
      const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob())
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')
      context?.drawImage(bitmap, 0, 0)
      const pixels = context?.getImageData(0, 0, bitmap.width, bitmap.height).data ?? []
      return [bitmap.width, bitmap.height, Array.from(pixels, (value) => String.fromCharCode(value)).join('')] as const
    }, png ?? '')
    const decoded = jsQR(Uint8ClampedArray.from(Buffer.from(pixels, 'latin1')), width, height, {
      inversionAttempts: 'dontInvert',
    })
    expect(decoded?.data).toBe(`${server.url}/#${code}`)
  })

  test('Lighthouse gives 100 in every category', async () => {
    // A phone's network is simulated; the processor is this machine's, for one that tests keep busy is no faster than a
    // phone's. It can still only make it worse: the best of three runs counts.
    const flags = { logLevel: 'error', throttling: { cpuSlowdownMultiplier: 1 } } as const
    let scores: (readonly [category: string, score: number | null])[] = []
    for (let run = 0; run < 3; run++) {
      const page = await open()
      const result = await lighthouse(server.url, flags, undefined, page.puppet)
      scores = Object.values(result?.lhr.categories ?? {}).map(({ id, score }) => [id, score])
      if (scores.every(([, score]) => score === 1)) break
    }
    expect(scores.length).toBeGreaterThanOrEqual(4)
    for (const [category, score] of scores) expect([category, score]).toEqual([category, 1])
  })
})

/** Puts the computer's clock forward in the page, and the server's, as it hears of it. */
const putClocksForward = (page: Page, milliseconds: number) =>
  page.evaluate((milliseconds) => {
    const { now } = Date
    Date.now = () => now() + milliseconds
    const { get } = Headers.prototype
    Headers.prototype.get = function (name) {
      return name === 'date' ? new Date(Date.now()).toUTCString() : get.call(this, name)
    }
  }, milliseconds)
