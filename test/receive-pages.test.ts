/** Receiving and receipts through the pages that people use: the letters first, the text by itself, and nobody between reads it. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import jsQR from 'jsqr'
import messages from '../extension/_locales/en/messages.json'
import { newReceiver, openReceived } from '../extension/hpke.ts'
import type { Browser, Page } from './support/browsers.ts'
import { isMissing as isCaddyMissing, startCaddy } from './support/caddy.ts'
import { CHROMIUM, type ChromiumPage } from './support/chromium.ts'
import { FIREFOX, FirefoxPopup } from './support/firefox.ts'
import { describeIn, isReady, loadedText, openExtension, openPage, tells, write, writtenCode } from './support/homes.ts'
import { isMissing as isNginxMissing, startNginx } from './support/nginx.ts'
import { poll } from './support/poll.ts'
import { type RecordedServer, record } from './support/recorder.ts'
import { type TestServer, testServer } from './support/server.ts'
import { MINUTE } from './support/support.ts'

const TEXT = 'nobody else may read this\nنص 한글 🎈'

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

/** Presses Receive; returns the code. */
async function receive(page: Page): Promise<string> {
  await page.click('#load-tab')
  await page.click('#receive-start')
  return receivingCode(page)
}

const receivingCode = async (page: Page) =>
  (await page.says('#receive-code', /^(\s*[A-Za-z]\s*){4}$/)).replace(/\s/g, '')

/** Writes as curl does. */
const curl = (path: string, body: string) => fetch(`${server.url}/${path}`, { method: 'POST', body })

/** Types the code of one who waits, below the box. */
async function address(page: Page, code: string) {
  await page.click('#write-tab')
  await page.click('#to-open')
  await page.type(code, '#to-code')
  await page.sees('#to-row')
}

async function send(page: Page, text: string) {
  await page.fill('#write-text', text)
  await page.click('#write-submit')
  await writtenCode(page)
}

describeIn(CHROMIUM, (chromium) => {
  describeIn(FIREFOX, (firefox) => {
    test('a phone writes by the link that it scanned, and the desktop shows the text without a key pressed', async () => {
      recorded.requests = []
      const desktop = await pageOf('page', firefox())
      await desktop.resize(1280, 800)
      const code = await receive(desktop)
      const scanned = await qrIn(desktop, '#receive-qr canvas')
      expect(scanned).toBe(`${recorded.url}/#>${code}`)

      const phone = await openPage(chromium(), recorded, scanned.slice(recorded.url.length + 1))
      await phone.resize(390, 844)
      await phone.says('#to-letters', new RegExp([...code].join('\\s*')))
      expect(await phone.evaluate(() => location.hash)).toBe('')
      for (const id of ['#write-expiry', '#write-once', '#write-password', '#to-open']) await phone.seesNo(id)
      // Nothing was sent or asked for by the link alone.
      const ofReceiver = /\/api\/(receive|receive\/wait)$/
      expect(recorded.requests.filter(({ path }) => path.startsWith('/api/') && !ofReceiver.test(path))).toEqual([])

      await phone.type(TEXT.slice(0, 10), '#write-text')
      const words = await phone.says('#to-words', /^[a-z]{6} [a-z]{6}$/)
      await desktop.says('#receive-words', new RegExp(`^${words}$`))
      await send(phone, TEXT)
      expect(await loadedText(desktop)).toBe(TEXT)
      await tells(desktop, 'textIsHere')
      await desktop.says('#loaded-note', /Received and sealed/)
      await phone.says('#written-seal', /^sealed$/)
      await phone.says('#written-receipt', /^loaded /)

      const all = JSON.stringify(recorded.requests)
      expect(all).toContain('1.hpke.')
      expect(all).not.toContain('nobody else')
      await poll(
        'the text to be gone',
        async () => server.query('SELECT 1 FROM text WHERE body IS NOT NULL AND body <> ?', '').length === 0,
      )
    })

    for (const [name, isMissing, start] of [
      ['Caddy', isCaddyMissing, () => startCaddy('texts.localhost', server.url)],
      ['nginx', isNginxMissing, () => startNginx(server.url)],
    ] as const) {
      const title = `through ${name}, too, the text comes as soon as it is written`
      test.skipIf(isMissing)(isMissing ? `${title} (skipped: it is not installed)` : title, async () => {
        const proxy = await start()
        try {
          const reading = await openPage(firefox(), { ...server, url: proxy.url })
          const code = await receive(reading)
          const writing = await openPage(chromium(), { ...server, url: proxy.url }, `#>${code}`)
          await send(writing, TEXT)
          expect(await loadedText(reading)).toBe(TEXT)
          await reading.says('#loaded-note', /Received and sealed/)
        } finally {
          await proxy.stop()
        }
      })
    }

    test.each([
      ['page', chromium, 'extension', firefox],
      ['extension', chromium, 'page', firefox],
      ['extension', firefox, 'extension', chromium],
      ['page', firefox, 'page', chromium],
    ] as const)(
      'the %s of one browser receives, sealed, what another writes to its code',
      async (to, reader, from, writer) => {
        recorded.requests = []
        const reading = await pageOf(to, reader())
        const code = await receive(reading)
        const writing = await pageOf(from, writer())
        await address(writing, code)
        await writing.says('#to-words', /./)
        await send(writing, TEXT)
        expect(await loadedText(reading)).toBe(TEXT)
        await reading.says('#loaded-note', /Received and sealed/)
        expect(JSON.stringify(recorded.requests)).not.toContain('nobody else')
      },
    )
  })

  test('a text that curl has written is shown, and both know that it was not sealed', async () => {
    const page = await pageOf('page', chromium())
    const code = await receive(page)
    expect((await curl(code, TEXT)).status).toBe(201)
    expect(await loadedText(page)).toBe(TEXT)
    await page.says('#loaded-note', /not sealed/)
    // A console has no key.
    const { code: console, receiveToken } = await server.receive()
    await address(page, console)
    await page.says('#to-seal', /^Not sealed/)
    await send(page, 'to a console')
    await page.says('#written-seal', /^not sealed$/)
    expect(await server.awaitText(console, receiveToken)).toBe('to a console')
  })

  test('on plain http it waits without a key, and says so', async () => {
    const page = await chromium().open(recorded.url.replace('127.0.0.1', 'plain.test'))
    await isReady(page)
    const code = await receive(page)
    await page.says('#receive-seal', /^Not sealed/)
    const other = await pageOf('page', chromium())
    await address(other, code)
    await other.says('#to-seal', /^Not sealed/)
    await send(other, TEXT)
    expect(await loadedText(page)).toBe(TEXT)
    const { publicKey, keys } = await newReceiver()
    const sealed = await server.receive(publicKey)
    await page.click('#write-tab')
    await address(page, sealed.code)
    await page.says('#to-seal', /^Not sealed/)
    await send(page, 'could not be sealed')
    expect(await server.awaitText(sealed.code, sealed.receiveToken)).toBe('could not be sealed')
    expect(keys.privateKey.extractable).toBe(false)
  })

  test('a page that is left and opened again goes on waiting, and opens what was sealed to it meanwhile', async () => {
    const page = await pageOf('page', chromium())
    const code = await receive(page)
    const words = await page.says('#receive-words', /./)
    await page.reload()
    await isReady(page)
    expect(await receivingCode(page)).toBe(code)
    await page.says('#receive-words', new RegExp(words))
    await page.goto('about:blank')
    const writer = await pageOf('page', chromium())
    await address(writer, code)
    await send(writer, TEXT)
    await page.goto(recorded.url)
    expect(await loadedText(page)).toBe(TEXT)
    await poll('the key to be gone', async () => (await keysIn(page)) === 0)
  })

  test('the key of a page that was closed is forgotten by the next one, once its time is up', async () => {
    const page = await pageOf('page', chromium())
    await receive(page)
    await page.says('#receive-words', /./)
    expect(await keysIn(page)).toBe(1)
    const until = await page.evaluate(() => localStorage.getItem('keysUntil'))
    await page.close()
    const next = await pageOf('page', chromium())
    await next.sees('#receive-start')
    expect(await keysIn(next)).toBe(1)
    // As the browser would have kept it, and the server's clock eleven minutes later.
    await next.evaluate((keysUntil) => Object.assign(localStorage, { keysUntil, ahead: 660_000 }), until)
    await next.reload()
    await isReady(next)
    await poll('the key to be gone', async () => (await keysIn(next)) === 0)
  })

  /** How many keys the browser keeps for the page. */
  const keysIn = (page: Page) =>
    page.evaluate(async () => {
      const { promise, resolve } = Promise.withResolvers<number>()
      const opening = indexedDB.open('keys')
      opening.onsuccess = () => {
        const counting = opening.result.transaction('keys').objectStore('keys').count()
        counting.onsuccess = () => resolve(counting.result)
      }
      const count = await promise
      opening.result.close()
      return count
    })

  test('a server that is away and a network that is lost are waited out, and the text comes', async () => {
    const page = (await pageOf('page', chromium())) as ChromiumPage
    const code = await receive(page)
    await server.pause()
    server.resume()
    await page.puppet.setOfflineMode(true)
    await tells(page, 'error_offline')
    expect((await curl(code, TEXT)).status).toBe(201)
    await page.puppet.setOfflineMode(false)
    expect(await loadedText(page)).toBe(TEXT)
  })

  test('a tab that the browser has put to sleep shows the text when it is woken', async () => {
    const page = (await pageOf('page', chromium())) as ChromiumPage
    const code = await receive(page)
    const session = await page.puppet.createCDPSession()
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    expect((await curl(code, TEXT)).status).toBe(201)
    await session.send('Page.setWebLifecycleState', { state: 'active' })
    expect(await loadedText(page)).toBe(TEXT)
  })

  test('a server that holds no question is asked ever more seldom', async () => {
    recorded.isHasty = true
    recorded.requests = []
    try {
      const page = await pageOf('page', chromium())
      await receive(page)
      const asked = () => recorded.requests.filter(({ path }) => path === '/api/receive/wait').map(({ at }) => at)
      await poll('the third question', async () => asked().length >= 3, 10_000)
      const [first = 0, second = 0, third = 0] = asked()
      expect(second - first).toBeGreaterThan(900)
      expect(third - second).toBeGreaterThan(1900)
    } finally {
      recorded.isHasty = false
    }
  })

  test('where no server tells the time, it is not asked without a pause for what may be over', async () => {
    const page = (await openPage(chromium(), server)) as ChromiumPage
    await receive(page)
    await page.evaluate(() => localStorage.setItem('ahead', '660000'))
    await server.pause()
    try {
      page.requests.length = 0
      const start = performance.now()
      await page.reload()
      const isAsked = async () => page.requests.filter((url) => url.endsWith('/api/receive/wait')).length >= 3
      await poll('the third question', isAsked, 10_000)
      expect(performance.now() - start).toBeGreaterThan(2900)
    } finally {
      server.resume()
    }
  })

  test('whoever waits no more says so, and nobody can write to the code', async () => {
    const page = await pageOf('page', chromium())
    const code = await receive(page)
    const writer = await pageOf('page', chromium())
    await address(writer, code)
    await writer.says('#to-words', /./)
    await page.click('#receive-cancel')
    await tells(page, 'receiveCancelled')
    await page.seesNo('#receiving')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('receive-start')
    await writer.fill('#write-text', 'too late')
    await poll('the end of the waiting', async () => (await curl(code, '')).status === 404)
    recorded.requests = []
    await writer.evaluate(async () => {
      const submit = document.querySelector('#write-submit') as HTMLButtonElement
      for (let press = 0; press < 2; press++) {
        submit.click()
        await new Promise<void>((resolve) => {
          new MutationObserver(() => submit.hasAttribute('aria-busy') || resolve()).observe(submit, {
            attributes: true,
          })
        })
      }
    })
    await tells(writer, 'error_nobody_waits')
    await writer.sees('#to-row')
    const written = recorded.requests.filter(({ path }) => path === '/api/write').map(({ body }) => JSON.parse(body).to)
    expect(written).toEqual([code, code])
    expect(await writer.text('#write-text')).toBe('too late')
    await page.reload()
    await isReady(page)
    await page.seesNo('#receiving')
  })

  test('after ten minutes the letters are over, and a press takes new ones', async () => {
    const page = await pageOf('page', chromium())
    const code = await receive(page)
    await page.says('#receive-left', /9 minutes|10 minutes/)
    server.clock.ahead += 10 * MINUTE
    await page.reload()
    await tells(page, 'receiveOver')
    await page.seesNo('#receiving')
    await page.click('#receive-start')
    expect(await receivingCode(page)).not.toBe(code)
    await page.click('#receive-cancel')
  })

  test('a code under which somebody waits is offered to be written to', async () => {
    const { code, receiveToken } = await server.receive()
    const page = await pageOf('page', chromium())
    await page.click('#load-tab')
    await page.type(code, '#load-code')
    await tells(page, 'error_receiving')
    await page.click('#to-waiting')
    await page.sees('#to-row')
    await send(page, 'found by chance')
    expect(await server.awaitText(code, receiveToken)).toBe('found by chance')
  })

  test('the keyboard alone receives, cancels, and writes to a code', async () => {
    const page = await pageOf('page', chromium())
    const focused = () => page.evaluate(() => document.activeElement?.id)
    const focus = (id: string) => page.evaluate((id) => document.getElementById(id)?.focus(), id)
    await focus('receive-start')
    await page.press('Enter')
    await receivingCode(page)
    expect(await focused()).toBe('receive-copy')
    await page.press('Shift', 'Tab')
    await page.press('Shift', 'Tab')
    await page.press('Shift', 'Tab')
    expect(await focused()).toBe('receive-cancel')
    await page.press('Enter')
    await tells(page, 'receiveCancelled')
    expect(await focused()).toBe('receive-start')

    const { code, receiveToken } = await server.receive()
    await focus('to-open')
    await page.press('Enter')
    expect(await focused()).toBe('to-code')
    await page.press('Escape')
    expect(await focused()).toBe('to-open')
    await page.press('Enter')
    await page.type(code.slice(0, 2))
    await page.press('Enter')
    await tells(page, 'codeIncomplete')
    await page.type(code.slice(2))
    expect(await focused()).toBe('write-text')
    await page.type('by keys')
    await page.press('Control', 'Enter')
    await writtenCode(page)
    expect(await focused()).toBe('write-another')
    expect(await server.awaitText(code, receiveToken)).toBe('by keys')
  })

  test('a link to letters that nobody waits under any more says so as soon as a text is typed, which stays', async () => {
    const page = await openPage(chromium(), recorded, '#>qQzZ')
    await page.sees('#to-row')
    await page.type('a', '#write-text')
    await tells(page, 'error_nobody_waits')
    await page.seesNo('#to-row')
    expect(await page.text('#write-text')).toBe('a')
    await (await openPage(chromium(), recorded, '#>share-lost')).seesNo('#to-row')
  })

  test('the link that is copied is whole where messages find links, and is taken wherever it is pasted', async () => {
    const page = await pageOf('page', chromium())
    const code = await receive(page)
    await page.click('#receive-copy')
    await tells(page, 'copiedLink')
    const link = await chromium().clipboard()
    expect(link).toBe(`${recorded.url}/#%3E${code}`)
    const writer = await pageOf('page', chromium())
    await writer.click('#to-open')
    await writer.fill('#to-code', link)
    await writer.sees('#to-row')
    await writer.click('#to-drop')
    await writer.click('#load-tab')
    await writer.fill('#load-code', link)
    await writer.press('Enter')
    await tells(writer, 'error_receiving')
  })

  test('an address can be dropped, stays with what was typed, and is refused where nobody waits', async () => {
    const { code } = await server.receive()
    const page = await pageOf('page', chromium())
    await page.click('#write-tab')
    await page.type('typed before', '#write-text')
    await address(page, code)
    await page.reload()
    await isReady(page)
    await page.sees('#to-row')
    expect(await page.text('#write-text')).toBe('typed before')
    await page.click('#to-drop')
    await page.seesNo('#to-row')
    await page.sees('#write-expiry')
    await page.says('#write-submit', /^Get four letters/)
    const free = await server.write('nobody waits for this')
    await page.click('#to-open')
    await page.type(free, '#to-code')
    await tells(page, 'error_nobody_waits')
    await page.seesNo('#to-row')
    await page.click('#write-submit')
    expect(await server.load(await writtenCode(page))).toBe('typed before')
  })

  test('who mistakes the code of a text for one that waits does not load it', async () => {
    const { code, eraseToken } = await server.post<{ code: string; eraseToken: string }>('/api/write', { text: 'hers' })
    const page = await pageOf('page', chromium())
    await page.click('#to-open')
    await page.type(code, '#to-code')
    await tells(page, 'error_nobody_waits')
    expect(await server.post('/api/status', { code, eraseToken })).toMatchObject({ state: 'waiting', loads: 0 })
  })

  test('a server with write keys asks for one before it lends a code, and not of who writes to it', async () => {
    await using guarded = await testServer({ WRITE_KEYS: 'anna:anna-has-this-key' })
    const page = await openPage(chromium(), guarded)
    await page.click('#load-tab')
    await page.click('#receive-start')
    await tells(page, 'error_write_key_required')
    await page.type('anna-has-this-key', '#write-key')
    await page.press('Enter')
    const code = await receivingCode(page)
    await page.seesNo('#write-key')
    await page.evaluate(() => localStorage.clear())
    const writer = await openPage(chromium(), guarded)
    await address(writer, code)
    await send(writer, 'x'.repeat(200_000))
    expect(await loadedText(page)).toHaveLength(200_000)
  })

  test('what was changed on its way is not shown', async () => {
    const page = await pageOf('page', chromium())
    const code = await receive(page)
    const { publicKey } = (await (await post('load', { code })).json()).error
    const seal = `1.hpke.${publicKey}`
    expect((await post('write', { to: code, text: 'AAAA', seal })).status).toBe(201)
    await tells(page, 'error_seal_received')
    await page.seesNo('#loaded-text')
    await page.seesNo('#receiving')
  })

  const post = (route: string, body: unknown) =>
    fetch(`${server.url}/api/${route}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })

  test('a text to a receiver can be opened by its key alone', async () => {
    const { publicKey, keys } = await newReceiver()
    const { code, receiveToken } = await server.receive(publicKey)
    const page = await pageOf('page', chromium())
    await page.goto(`${recorded.url}/#>${code}`)
    recorded.requests = []
    // At once, while the key is still asked for: it is asked for once, so that no other is used than the one that is shown.
    await page.evaluate((text) => {
      const box = document.querySelector('#write-text') as HTMLTextAreaElement
      box.value = text
      box.dispatchEvent(new Event('input'))
      box.form?.requestSubmit()
    }, TEXT)
    await writtenCode(page)
    expect(recorded.requests.filter(({ path }) => path === '/api/load')).toHaveLength(1)
    const { text, seal } = await (await post('receive/wait', { code, receiveToken })).json()
    expect(await openReceived(keys, code, text, seal)).toBe(TEXT)
  })

  test('“My texts” tells by itself when a text was loaded, and when one is gone, and both stay', async () => {
    const page = await pageOf('page', chromium())
    const many = await write(page, 'many')
    await server.load(many)
    await page.says('#written-receipt', /^loaded \d/)
    await page.click('#write-another')
    const taken = await write(page, 'once', { once: true })
    await page.click('#write-another')
    await server.load(taken)
    await page.says(`#history [data-code=${taken}] .receipt`, /^loaded \d/)
    await page.says(`#history [data-code=${taken}] .left`, /^gone$/)
    await page.says(`#history [data-code=${many}] .left`, /hour|minutes/)
    await page.reload()
    await isReady(page)
    await page.says(`#history [data-code=${taken}] .left`, /^gone$/)
    // What is gone is asked about no more, and leaves the list without asking.
    recorded.requests = []
    await page.click(`#history [data-code=${taken}] .danger`)
    await page.says(`#history [data-code=${taken}] .danger`, /Really/)
    // More than a double click.
    await poll(
      'another question',
      async () => recorded.requests.filter(({ path }) => path === '/api/status').length > 0,
    )
    await page.click(`#history [data-code=${taken}] .danger`)
    await page.until('the text to leave the list', (code) => !document.querySelector(`[data-code=${code}]`), taken)
    expect(recorded.requests.filter(({ path, body }) => path === '/api/erase' || body.includes(taken))).toEqual([])
  })

  test('texts that the server has lost, or that end in a moment, cost a person no more than one of his few misses', async () => {
    const page = await pageOf('page', chromium())
    await page.evaluate((server) => {
      const lent = (place: number) => ({
        ...{ code: `los${'abcd'[place]}`, eraseToken: `${place}`.repeat(22), server },
        ...{ expiresAt: Date.now() + (place === 0 ? 8000 : 600_000), once: false, hasPassword: false },
      })
      localStorage.setItem('history', JSON.stringify([0, 1, 2, 3].map(lent)))
    }, recorded.url)
    recorded.requests = []
    await page.reload()
    await isReady(page)
    await page.sees('#history .gone')
    // Whatever makes the page look again.
    await page.evaluate(() => {
      for (let i = 0; i < 5; i++) document.dispatchEvent(new Event('visibilitychange'))
    })
    await write(page, 'another')
    const asked = recorded.requests
      .filter(({ path }) => path === '/api/status')
      .map(({ body }) => JSON.parse(body).code)
    expect(asked).toHaveLength(1)
    expect(asked).not.toContain('losa')
  })

  test('many texts are asked about in turn, and never more than a third of what a server allows', async () => {
    const page = await pageOf('page', chromium())
    const codes = []
    for (let i = 0; i < 4; i++) {
      codes.push(await write(page, `text ${i}`))
      await page.click('#write-another')
    }
    recorded.requests = []
    const asked = () => recorded.requests.filter(({ path }) => path === '/api/status')
    await poll('all to be asked about', async () => new Set(asked().map(({ body }) => body)).size === 4, 10_000)
    const times = asked().map(({ at }) => at)
    for (const [i, at] of times.slice(1).entries()) expect(at - (times[i] ?? 0)).toBeGreaterThan(1300)
  })

  test('a popup that was closed goes on waiting: its code is there again, and so is the text', async () => {
    await (await openExtension(chromium(), server)).close()
    const site = await chromium().open(`${server.url}/robots.txt`)
    const openPopup = async () => {
      const popup = await chromium().openPopup(site)
      await isReady(popup)
      return popup
    }
    const popup = await openPopup()
    const code = await receive(popup)
    await popup.close()
    const again = await openPopup()
    expect(await receivingCode(again)).toBe(code)
    await again.close()
    const { publicKey } = (await (await post('load', { code })).json()).error
    expect(publicKey).toMatch(/^[\w-]{43}$/)
    const writer = await openPage(chromium(), server)
    await address(writer, code)
    await send(writer, TEXT)
    // Without any popup.
    await writer.says('#written-receipt', /^loaded/)
    expect(await loadedText(await openPopup())).toBe(TEXT)
  })

  test('a popup says at once when its letters are over', async () => {
    const popup = await openExtension(chromium(), server)
    await receive(popup)
    await popup.says('#receive-words', /./)
    server.clock.ahead += 10 * MINUTE
    await server.pause()
    server.resume()
    await tells(popup, 'receiveOver')
    await popup.seesNo('#receiving')
    // Nor does a popup that is opened later take others for a field, of which nobody thinks any more.
    await popup.click('#receive-start')
    await receivingCode(popup)
    await popup.evaluate(() =>
      chrome.storage.session.set({ field: { tabId: -1, frameId: 0, askedAt: Date.now(), isReceiving: true } }),
    )
    await popup.close()
    server.clock.ahead += 10 * MINUTE
    await server.pause()
    server.resume()
    await poll('the field to be forgotten', async () => {
      const kept = await chromium().inBackground(() => chrome.storage.session.get())
      return !('waiting' in kept || 'field' in kept)
    })
  })

  test('a popup goes on waiting though the browser has ended the background, or has nowhere to keep a key', async () => {
    const popup = await openExtension(chromium(), server)
    const code = await receive(popup)
    await chromium().endBackground()
    expect((await curl(code, 'one')).status).toBe(201)
    await popup.reload()
    expect(await loadedText(popup)).toBe('one')

    // As in a private window, of which nothing reaches the disk: the key goes with the popup, which says so.
    const site = (await chromium().open('about:blank')) as ChromiumPage
    await site.puppet.evaluateOnNewDocument(() => {
      if (globalThis.chrome?.windows) chrome.windows.getCurrent = (async () => ({ incognito: true })) as never
    })
    await site.goto(`${chromium().extension}popup.html`)
    await isReady(site)
    const other = await receive(site)
    await site.says('#receive-words', /./)
    expect((await curl(other, 'two')).status).toBe(201)
    expect(await loadedText(site)).toBe('two')
    await receive(site)
    await site.reload()
    await tells(site, 'error_seal_received')
    await site.seesNo('#receiving')
  })

  test('“Receive into this field” puts what was written where the caret was, though the popup closes', async () => {
    await (await openExtension(chromium(), server)).close()
    const site = await chromium().open(`${server.url}/robots.txt`)
    await (await chromium().openPopup(site)).close()
    const choose = () =>
      chromium().inBackground(async () => {
        const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true })
        const { onClicked } = chrome.contextMenus as unknown as { onClicked: { dispatch(...args: unknown[]): void } }
        onClicked.dispatch({ menuItemId: 'receive-into-field', selectionText: '', frameId: 0 }, tab)
      })
    await chromium().inBackground(() => {
      const told: string[] = []
      Object.assign(globalThis, { told })
      chrome.notifications.create = new Proxy(chrome.notifications.create, {
        apply: (create, self, [options]) => [told.push(options.message), Reflect.apply(create, self, [options])][1],
      })
    })
    for (const isClosed of [false, true]) {
      await site.puppet.bringToFront()
      await site.evaluate(() => {
        document.body.innerHTML = '<textarea>ab</textarea>'
        document.querySelector('textarea')?.focus()
        document.querySelector('textarea')?.setSelectionRange(1, 1)
      })
      const popup = await chromium().popupThatOpens(choose)
      const code = await receivingCode(popup)
      await popup.sees('#field-note')
      if (isClosed) await popup.close()
      expect((await curl(code, `written ${isClosed}`)).status).toBe(201)
      await site.says('textarea', new RegExp(`^awritten ${isClosed}b$`))
      if (!isClosed) await popup.close()
    }
    // Where no popup tells that it was not sealed.
    const told = await poll('the notification', () =>
      chromium().inBackground(() => (globalThis as unknown as { told: string[] }).told[0]),
    )
    expect(told).toBe(`${messages.intoFieldDone.message}\n${messages.receivePlain.message}`)
  })
})

describeIn(FIREFOX, (firefox) => {
  test('“Receive into this field” puts what was written into the field', async () => {
    await (await openExtension(firefox(), server)).close()
    const site = await firefox().open(`${server.url}/robots.txt`)
    await site.evaluate(() => {
      document.body.replaceChildren(document.createElement('textarea'))
      document.querySelector('textarea')?.focus()
    })
    await site.chooseInMenu('textarea', messages.receiveIntoField.message)
    const code = await receivingCode(new FirefoxPopup(firefox()))
    expect((await curl(code, 'into the\nfield')).status).toBe(201)
    await site.says('textarea', /^into the\nfield$/)
  })
})

/** What a phone's camera reads in a picture of the page. */
async function qrIn(page: Page, selector: string): Promise<string> {
  await page.sees(selector)
  const { pixels, width, height } = await page.evaluate((selector) => {
    const canvas = document.querySelector(selector) as HTMLCanvasElement
    const { data, width, height } = (canvas.getContext('2d') as CanvasRenderingContext2D).getImageData(
      ...([0, 0, canvas.width, canvas.height] as const),
    )
    return { pixels: [...data], width, height }
  }, selector)
  return jsQR(Uint8ClampedArray.from(pixels), width, height)?.data ?? ''
}
