/** What only the extension does: its real popup, the context menu, the options, and what the builds are made of. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cpSync, existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import messages from '../extension/_locales/en/messages.json'
import { LANGUAGES } from '../extension/languages.ts'
import type { Browser, Kind, Page } from './support/browsers.ts'
import { CHROMIUM, type Chromium } from './support/chromium.ts'
import { FIREFOX, type Firefox, type FirefoxGlobals, FirefoxPopup } from './support/firefox.ts'
import {
  askFor,
  builtExtension,
  describeIn,
  isReady,
  load,
  loadedText,
  openExtension,
  tells,
  write,
  writtenCode,
} from './support/homes.ts'
import { poll } from './support/poll.ts'
import { type TestServer, testServer } from './support/server.ts'
import { root, temporaryPath } from './support/support.ts'

/** What the server too says to the extension. */
const ANY_ORIGIN = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' }

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server[Symbol.asyncDispose]())

/** Opens the real popup at the toolbar while `site` is in front. */
async function openPopup<Site>(browser: { openPopup(site: Site): Promise<Page> }, site: Site): Promise<Page> {
  const popup = await browser.openPopup(site)
  await isReady(popup)
  return popup
}

/** What the options do, in either browser. */
function optionsTests(browser: () => Browser) {
  async function openOptions(): Promise<Page> {
    await (await openExtension(browser(), server)).close()
    const page = await browser().open(`${browser().extension}options.html`)
    await isReady(page)
    return page
  }

  test('the options take the address of a server only if one answers there', async () => {
    await using other = await testServer()
    const options = await openOptions()
    expect(await options.text('#server')).toBe(server.url)
    await options.choose('#server', 'ftp://127.0.0.1')
    await tells(options, 'serverInvalid')
    await other.pause()
    await options.choose('#server', other.url)
    await tells(options, 'serverNotFound')
    other.resume()
    await options.press('Enter')
    await tells(options, 'saved')

    const popup = await browser().open(`${browser().extension}popup.html`)
    await isReady(popup)
    await popup.type('to the other server', '#write-text')
    await popup.click('#write-submit')
    expect(await other.load(await writtenCode(popup))).toBe('to the other server')
  })

  test('the options warn of a server whose way is neither encrypted nor short, in every language', async () => {
    const options = await openOptions()
    await options.seesNo('#server-exposed')
    for (const language of Object.keys(LANGUAGES)) {
      await options.choose('#language-choice', language)
      const messages = await Bun.file(join(root, 'extension/_locales', language, 'messages.json')).json()
      await options.fill('#server', 'http://texts.example.com')
      await options.until(
        'the warning',
        (warning) => document.querySelector('#server-exposed:not([hidden])')?.textContent === warning,
        messages.serverExposed.message,
      )
      await options.fill('#server', 'texts.example.com')
      await options.seesNo('#server-exposed')
    }
  })

  test('the options take the write key of a server, and give it to no other', async () => {
    await using guarded = await testServer({ WRITE_KEYS: 'anna:anna-has-this-key' })
    const options = await openOptions()
    await options.choose('#server', guarded.url)
    await tells(options, 'saved')
    await options.choose('#server-write-key', 'anna-has-this-key')
    await options.until(
      'the key to be kept',
      async () => (await chrome.storage.local.get('writeKeys')).writeKeys !== undefined,
    )
    const popup = await browser().open(`${browser().extension}popup.html`)
    await isReady(popup)
    await popup.type('with the key', '#write-text')
    await popup.click('#write-submit')
    expect(await guarded.load(await writtenCode(popup))).toBe('with the key')

    await options.choose('#server', server.url)
    await options.until(
      'the other server to be saved',
      async (url) => {
        return (await chrome.storage.local.get('server')).server === url
      },
      server.url,
    )
    expect(await options.evaluate(() => chrome.storage.local.get('writeKeys'))).toEqual({
      writeKeys: { [guarded.url]: 'anna-has-this-key' },
    })
    await options.choose('#server', guarded.url)
    await options.until('the key of the first server', () => {
      return document.querySelector<HTMLInputElement>('#server-write-key')?.value === 'anna-has-this-key'
    })
  })

  test('the options are saved while the server that they name already is down', async () => {
    await using other = await testServer()
    const options = await openOptions()
    await options.choose('#server', other.url)
    await tells(options, 'saved')
    await other.pause()
    await options.choose('#language-choice', 'ko')
    await options.says('#message', /[가-힣]/)
    await options.choose('#server', other.url)
    await tells(options, 'saved')
    other.resume()
  })

  test('the options choose how long texts live, and the language', async () => {
    const options = await openOptions()
    await options.choose('#default-expiry', '86400')
    await options.choose('#language-choice', 'ko')
    await options.says('#message', /[가-힣]/)
    const popup = await browser().open(`${browser().extension}popup.html`)
    await isReady(popup)
    expect(await popup.text('#write-expiry')).toBe('86400')
    expect(await popup.evaluate(() => document.documentElement.lang)).toBe('ko')
  })
}

/** Writes in a private window; of that the disk has nothing, and with the window the memory has nothing either. */
async function leavesNothingOfPrivate(firefox: Firefox) {
  const usual = await openExtension(firefox, server)
  const inPrivate = await firefox.openPrivate(`${firefox.extension}popup.html`)
  await isReady(inPrivate)
  const code = await write(inPrivate, 'in private')
  await inPrivate.click('#write-another')
  await inPrivate.type('half a text', '#write-text')
  await inPrivate.sees(`li[data-code=${code}]`)
  expect(await usual.evaluate(() => chrome.storage.local.get())).toEqual({ server: server.url })
  const inMemory = () => usual.evaluate(async () => JSON.stringify(await chrome.storage.session.get()))
  expect(await inMemory()).toContain('half a text')
  await usual.seesNo('#history')
  await inPrivate.close()
  await poll('the browser to forget', async () => !/in private|half a text|private:/.test(await inMemory()))
  expect(await server.load(code)).toBe('in private')
}

describeIn(CHROMIUM, (chromium) => {
  optionsTests(chromium)

  /** A page that the extension may touch, as a person makes it by clicking the extension's button there. */
  async function openSite() {
    await (await openExtension(chromium(), server)).close()
    const site = await chromium().open(`${server.url}/robots.txt`)
    await (await openPopup(chromium(), site)).close()
    return site
  }

  /** Chooses an entry of the context menu, which no test can open in Chromium. */
  const chooseInMenu = (chromium: Chromium, entry: string, selectionText = '') =>
    chromium.inBackground(
      async (menuItemId, selectionText) => {
        const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true })
        const { onClicked } = chrome.contextMenus as unknown as { onClicked: { dispatch(...args: unknown[]): void } }
        onClicked.dispatch({ menuItemId, selectionText, frameId: 0 }, tab)
      },
      entry,
      selectionText,
    )

  test('what a network answers in the server’s place is no success: the text stays, and so does the list', async () => {
    const page = await openExtension(chromium(), server)
    using portal = Bun.serve({
      port: 0,
      fetch: () =>
        new Response('<h1>Log in</h1>', {
          headers: { 'content-type': 'text/html', ...ANY_ORIGIN },
        }),
    })
    await page.evaluate((server) => chrome.storage.local.set({ server }), portal.url.origin)
    await page.type('still here', '#write-text')
    await page.click('#write-submit')
    await tells(page, 'error_unreachable')
    expect(await page.text('#write-text')).toBe('still here')
    await page.evaluate(() => chrome.storage.local.set({ history: [{ expiresAt: Date.now() + 60_000 }] }))
    await page.reload()
    await isReady(page)
    await page.seesNo('#history')
    await askFor(page, 'aBcD')
    await tells(page, 'error_unreachable')
  })

  test('the real popup keeps what was typed when it closes, and then the code', async () => {
    const site = await openSite()
    const popup = await openPopup(chromium(), site)
    await popup.type('typed and not yet sent', '#write-text')
    await popup.click('#write-once')
    await popup.close()

    const again = await openPopup(chromium(), site)
    expect(await again.text('#write-text')).toBe('typed and not yet sent')
    expect(await again.evaluate(() => document.querySelector<HTMLInputElement>('#write-once')?.checked)).toBe(true)
    await again.press('Control', 'Enter')
    const code = await writtenCode(again)
    await again.close()

    const last = await openPopup(chromium(), site)
    expect(await writtenCode(last)).toBe(code)
    expect(await server.load(code)).toBe('typed and not yet sent')
  })

  test('the real popup keeps a code that was typed, and the text that was loaded', async () => {
    const code = await server.write('read once', { once: true })
    const site = await openSite()
    const popup = await openPopup(chromium(), site)
    await popup.click('#load-tab')
    await popup.type(code, '#load-code')
    await popup.close()
    const again = await openPopup(chromium(), site)
    await again.says('#load-code', new RegExp(`^${code}$`))
    await again.click('#load-submit')
    expect(await loadedText(again)).toBe('read once')
    await again.close()
    const last = await openPopup(chromium(), site)
    expect(await loadedText(last)).toBe('read once')
  })

  test('what was asked of the server before the popup closed is there when it opens again', async () => {
    const site = await openSite()
    const arrived: (() => void)[] = []
    using slow = Bun.serve({
      port: 0,
      async fetch(request) {
        if (request.method === 'OPTIONS') return new Response(null, { headers: ANY_ORIGIN })
        const { pathname } = new URL(request.url)
        const answer = await fetch(server.url + pathname, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: await request.text(),
        })
        const body = await answer.text()
        await new Promise<void>((release) => arrived.push(release))
        return new Response(body, {
          status: answer.status,
          headers: { 'content-type': 'application/json', ...ANY_ORIGIN },
        })
      },
    })
    await chromium().inBackground((server) => chrome.storage.local.set({ server }), slow.url.origin)
    const closeMeanwhile = async (popup: Page, key: string) => {
      const release = await poll('the request', async () => arrived.pop())
      await popup.close()
      release()
      await poll('the result', () =>
        chromium().inBackground(async (key) => key in (await chrome.storage.session.get(key)), key),
      )
      return openPopup(chromium(), site)
    }
    const popup = await openPopup(chromium(), site)
    await popup.type('nobody waits', '#write-text')
    await popup.click('#write-submit')
    const again = await closeMeanwhile(popup, 'written')
    expect(await server.load(await writtenCode(again))).toBe('nobody waits')
    await again.click('#write-another')
    expect(await again.text('#write-text')).toBe('')

    await again.click('#load-tab')
    await again.fill('#load-code', await server.write('read once', { once: true }))
    await again.click('#load-submit')
    expect(await loadedText(await closeMeanwhile(again, 'loaded'))).toBe('read once')
  })

  test('a long text has the time that a slow line takes', async () => {
    const page = await openExtension(chromium(), server)
    await chromium().inBackground(() => {
      const waits: number[] = []
      Object.assign(globalThis, { waits })
      AbortSignal.timeout = new Proxy(AbortSignal.timeout, {
        apply(timeout, self, [milliseconds]) {
          waits.push(milliseconds)
          return Reflect.apply(timeout, self, [milliseconds])
        },
      })
    })
    await page.fill('#write-text', '한'.repeat(320_000))
    await page.click('#write-submit')
    await writtenCode(page)
    const waits = await chromium().inBackground(() => (globalThis as unknown as { waits: number[] }).waits)
    expect(waits).toEqual([90_000])
  })

  test('a loaded text is shown though the browser has no room to keep it', async () => {
    const code = await server.write('no room')
    const page = await openExtension(chromium(), server)
    await chromium().inBackground(() => {
      const { session } = chrome.storage
      const { set } = session
      session.set = () => {
        session.set = set
        return Promise.reject(new Error('QUOTA_BYTES quota exceeded'))
      }
    })
    await askFor(page, code)
    expect(await loadedText(page)).toBe('no room')
  })

  test('“Send selection” writes what is selected; the code is notified, on the badge and on the clipboard', async () => {
    const site = await openSite()
    await site.evaluate(() => getSelection()?.selectAllChildren(document.body))
    const selected = await site.evaluate(() => String(getSelection()))
    expect(selected).toContain('User-agent: *\n')
    await chooseInMenu(chromium(), 'send-selection', selected.replaceAll('\n', ' '))
    const code = await poll('the badge', () => chromium().inBackground(() => chrome.action.getBadgeText({})))
    expect(await server.load(code)).toBe(selected)
    expect(await chromium().clipboard()).toBe(code)
    const notifications = await chromium().inBackground(async () =>
      Object.keys((await chrome.notifications.getAll()) as object),
    )
    expect(notifications.length).toBeGreaterThan(0)
    const popup = await openPopup(chromium(), site)
    expect(await writtenCode(popup)).toBe(code)
    expect(await chromium().inBackground(() => chrome.action.getBadgeText({}))).toBe('')
  })

  test.each([
    ['its time is up', 300],
    ['it is erased', 2_592_000_000],
  ])('the badge forgets the code of a text when %s', async (_, milliseconds) => {
    const badge = () => chromium().inBackground(() => chrome.action.getBadgeText({}))
    await chromium().inBackground(async (milliseconds) => {
      await chrome.action.setBadgeText({ text: 'aBcD' })
      await chrome.storage.local.set({ history: [{ code: 'aBcD', expiresAt: Date.now() + milliseconds }] })
    }, milliseconds)
    if (milliseconds > 300) expect(await badge()).toBe('aBcD')
    if (milliseconds > 300) await chromium().inBackground(() => chrome.storage.local.set({ history: [] }))
    await poll('the badge to be empty', async () => (await badge()) === '')
  })

  test('two selections that are sent at once are both stored, listed and told of', async () => {
    const site = await openSite()
    await site.evaluate(() => getSelection()?.selectAllChildren(document.body))
    const titles = () => chromium().inBackground(() => (globalThis as unknown as { titles: string[] }).titles)
    await chromium().inBackground(() => {
      const titles: string[] = []
      Object.assign(globalThis, { titles })
      chrome.notifications.create = new Proxy(chrome.notifications.create, {
        apply(create, self, [options]) {
          titles.push(options.title)
          return Reflect.apply(create, self, [options])
        },
      })
    })
    await Promise.all(['send-selection', 'send-selection'].map((entry) => chooseInMenu(chromium(), entry)))
    await poll('both notifications', async () => (await titles()).length === 2)
    const listed = await chromium().inBackground(async () => {
      const { history } = await chrome.storage.local.get<{ history: { code: string }[] }>('history')
      return history.map(({ code }) => code)
    })
    expect(listed).toHaveLength(2)
    expect((await titles()).sort()).toEqual(listed.map((code) => messages.sentTitle.message.replace('$1', code)).sort())
  })

  test('a selection that cannot be sent is told of', async () => {
    await using stopped = await testServer()
    const site = await openSite()
    const notified = () =>
      chromium().inBackground(async () => Object.keys((await chrome.notifications.getAll()) as object).length)
    await chromium().inBackground(async (server) => {
      await chrome.storage.local.set({ server })
      for (const id of Object.keys((await chrome.notifications.getAll()) as object))
        await chrome.notifications.clear(id)
    }, stopped.url)
    await stopped.pause()
    await site.evaluate(() => getSelection()?.selectAllChildren(document.body))
    await chooseInMenu(chromium(), 'send-selection', 'selected')
    await poll('the notification', async () => (await notified()) > 0)
    expect(await chromium().inBackground(() => chrome.action.getBadgeText({}))).toBe('')
    stopped.resume()
  })

  test('“Load into this field” opens the popup, and puts the text into the field of the page', async () => {
    const code = await server.write('into the\nfield')
    const site = await openSite()
    await site.evaluate(() => {
      document.body.replaceChildren(document.createElement('textarea'))
      document.querySelector('textarea')?.focus()
    })
    const popup = await chromium().popupThatOpens(() => chooseInMenu(chromium(), 'load-into-field'))
    await popup.sees('#field-note')
    await popup.type(code, '#load-code')
    await popup.press('Enter')
    await site.says('textarea', /^into the\nfield$/)
    await popup.close()

    await site.evaluate(() => document.querySelector('textarea')?.setAttribute('readonly', ''))
    const next = await chromium().popupThatOpens(() => chooseInMenu(chromium(), 'load-into-field'))
    await next.sees('#field-note')
    expect(await next.text('#load-code')).toBe('')
    // Loaded by its fourth letter: Enter would copy it, and say so.
    await next.type(await server.write('not for this field'), '#load-code')
    await tells(next, 'intoFieldReadOnly')
    expect(await site.text('textarea')).toBe('into the\nfield')
  })

  test('“Load into this field” keeps a text that could be read only once', async () => {
    const code = await server.write('nowhere else', { once: true })
    const site = await openSite()
    const popup = await openPopup(chromium(), site)
    await askFor(popup, code)
    expect(await loadedText(popup)).toBe('nowhere else')
    await popup.close()
    const again = await chromium().popupThatOpens(() => chooseInMenu(chromium(), 'load-into-field'))
    await isReady(again)
    expect(await loadedText(again)).toBe('nowhere else')
    await again.sees('#field-note')
  })

  test('the language is changed several times at once, and the menu follows', async () => {
    const options = await openExtension(chromium(), server)
    await chromium().inBackground(() => {
      const titles: string[] = []
      Object.assign(globalThis, { titles })
      const { create } = chrome.contextMenus
      chrome.contextMenus.create = ((properties: chrome.contextMenus.CreateProperties) =>
        create(properties, () => titles.push(chrome.runtime.lastError?.message ?? String(properties.title)))) as never
    })
    await options.evaluate(() =>
      Promise.all(['ko', 'ja', 'zh_CN'].map((language) => chrome.storage.local.set({ language }))),
    )
    const created = await poll('the menus', async () => {
      const titles = await chromium().inBackground(() => (globalThis as unknown as { titles: string[] }).titles)
      return titles.length >= 6 && titles
    })
    expect(created.filter((title) => /duplicate/.test(title))).toEqual([])
    expect(created.at(-1)).toMatch(/读取/)
  })

  test('the browser has nothing to say against the build', async () => {
    const page = await chromium().open('chrome://extensions')
    const complaints = await page.evaluate(async (extension) => {
      interface Details {
        id: string
        installWarnings: string[]
        manifestErrors: { message: string }[]
        runtimeErrors: { message: string }[]
      }
      const { developerPrivate } = chrome as unknown as {
        developerPrivate: { getExtensionsInfo(): Promise<Details[]> }
      }
      const details = (await developerPrivate.getExtensionsInfo()).find(({ id }) => extension.includes(id))
      if (!details) return ['It is not loaded']
      const { installWarnings, manifestErrors, runtimeErrors } = details
      return [...installWarnings, ...[...manifestErrors, ...runtimeErrors].map(({ message }) => message)]
    }, chromium().extension)
    expect(complaints).toEqual([])
  })

  test('the keyboard opens the popup', async () => {
    const commands = await chromium().inBackground(() => chrome.commands.getAll())
    expect(commands).toContainEqual(expect.objectContaining({ name: '_execute_action', shortcut: 'Alt+Shift+E' }))
  })
})

describeIn(FIREFOX, (firefox) => {
  test('the browser has nothing to say against the build', async () => {
    const complaints = await firefox().inChrome((address) => {
      const { WebExtensionPolicy } = globalThis as unknown as FirefoxGlobals
      const policy = WebExtensionPolicy.getByHostname(new URL(address).hostname)
      return policy ? [...policy.extension.warnings, ...policy.extension.errors] : ['It is not loaded']
    }, firefox().extension)
    expect(complaints).toEqual([])
  })

  optionsTests(firefox)

  test('the real popup keeps what was typed when it closes, and then the code', async () => {
    await (await openExtension(firefox(), server)).close()
    const site = await firefox().open(`${server.url}/robots.txt`)
    const popup = await openPopup(firefox(), site)
    await popup.type('typed and not yet sent', '#write-text')
    await popup.close()

    const again = await openPopup(firefox(), site)
    expect(await again.text('#write-text')).toBe('typed and not yet sent')
    await again.click('#write-submit')
    const code = await writtenCode(again)
    await again.close()

    const last = await openPopup(firefox(), site)
    expect(await writtenCode(last)).toBe(code)
    expect(await server.load(code)).toBe('typed and not yet sent')
    await last.close()
  })

  test('“Send selection” writes what is selected; the code is on the badge and on the clipboard', async () => {
    await (await openExtension(firefox(), server)).close()
    const site = await firefox().open(`${server.url}/robots.txt`)
    await site.evaluate(() => getSelection()?.selectAllChildren(document.body))
    const selected = await site.evaluate(() => String(getSelection()).trim())
    await site.chooseInMenu('pre', messages.sendSelection.message)
    const options = await firefox().open(`${firefox().extension}options.html`)
    const onBadge = await options.until('the badge', () => chrome.action.getBadgeText({}))
    const popup = await firefox().open(`${firefox().extension}popup.html`)
    const code = await writtenCode(popup)
    expect(onBadge).toBe(code)
    expect((await server.load(code))?.trim()).toBe(selected)
    expect(await firefox().clipboard()).toBe(code)
  })

  test('“Load into this field” puts the text into the field of the page', async () => {
    await (await openExtension(firefox(), server)).close()
    const code = await server.write('into the\nfield')
    const site = await firefox().open(`${server.url}/robots.txt`)
    await site.evaluate(() => {
      document.body.replaceChildren(document.createElement('textarea'))
      document.querySelector('textarea')?.focus()
    })
    await site.chooseInMenu('textarea', messages.loadIntoField.message)
    const popup = new FirefoxPopup(firefox())
    await popup.sees('#field-note')
    await popup.type(code, '#load-code')
    await popup.click('#load-submit')
    await site.says('textarea', /^into the\nfield$/)
  })

  test('nothing of a private window outlives it', () => leavesNothingOfPrivate(firefox()))

  test('on a phone, whose Firefox has neither windows nor context menus nor keys, it fills the screen and works', async () => {
    const folder = temporaryPath('phone')
    cpSync(await builtExtension(FIREFOX), folder, { recursive: true })
    for (const name of readdirSync(folder).filter((name) => name.endsWith('.js'))) {
      const without =
        "for (const api of ['windows', 'menus', 'contextMenus', 'commands']) delete browser[api], delete chrome[api]\n"
      await Bun.write(join(folder, name), without + (await Bun.file(join(folder, name)).text()))
    }
    const phone = await FIREFOX.launch({ extension: folder })
    try {
      const page = await openExtension(phone, server)
      await phone.inChrome(() => {
        // Its window cannot be that narrow.
        const { gBrowser } = globalThis as unknown as { gBrowser: { selectedBrowser: HTMLElement } }
        gBrowser.selectedBrowser.style.maxWidth = '360px'
      })
      await page.until('the width of a phone', () => innerWidth === 360)
      expect(await server.load(await write(page, 'from a phone'))).toBe('from a phone')
      expect(await load(page, await server.write('onto a phone'))).toBe('onto a phone')
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360)
      await page.goto(`${phone.extension}options.html`)
      await isReady(page)
      await page.seesNo('#keys')
      await leavesNothingOfPrivate(phone)
      expect(await phone.problems()).toEqual([])
    } finally {
      await phone.close()
    }
  })
})

interface Manifest {
  name: string
  permissions: string[]
  content_security_policy: { extension_pages: string }
  [key: string]: unknown
}

describe.each([CHROMIUM, FIREFOX] as Kind[])('the build for $name', (kind) => {
  let folder = ''
  let manifest: Manifest
  beforeAll(async () => {
    folder = await builtExtension(kind)
    manifest = await Bun.file(join(folder, 'manifest.json')).json()
  })

  test('has every file that its manifest and its pages name', async () => {
    const named = [...JSON.stringify(manifest).matchAll(/"([\w/.-]+\.(?:html|js|json|png|svg|css))"/g)]
    expect(named.length).toBeGreaterThan(3)
    for (const [, path = ''] of named) expect([path, existsSync(join(folder, path))]).toEqual([path, true])
    for (const page of readdirSync(folder).filter((name) => name.endsWith('.html'))) {
      const html = await Bun.file(join(folder, page)).text()
      for (const [, path = ''] of html.matchAll(/(?:src|href)="([^"#]+)"/g)) {
        expect([page, path, existsSync(join(folder, path))]).toEqual([page, path, true])
      }
    }
  })

  test('asks for no host, and for no more permissions than it uses', () => {
    expect(manifest).not.toHaveProperty('host_permissions')
    expect(manifest).not.toHaveProperty('content_scripts')
    expect(manifest.permissions).toEqual([
      'activeTab',
      'clipboardWrite',
      'contextMenus',
      'notifications',
      ...(kind === CHROMIUM ? ['offscreen'] : []),
      'scripting',
      'storage',
    ])
  })

  test('runs nothing from elsewhere and nothing inline', async () => {
    const policy = manifest.content_security_policy.extension_pages
    expect(policy).toStartWith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ")
    expect(policy.replace("'wasm-unsafe-eval'", '')).not.toContain('unsafe')
    for (const name of readdirSync(folder)) {
      if (!/\.(html|js)$/.test(name)) continue
      const source = await Bun.file(join(folder, name)).text()
      expect(source).not.toMatch(/<script(?![^>]*\bsrc="(?!https?:|\/\/))|\beval\(|new Function\(|innerHTML|\bstyle="/)
    }
  })

  test('says its name and description in every language', async () => {
    const asked = [...JSON.stringify(manifest).matchAll(/__MSG_(\w+)__/g)].map(([, key = '']) => key)
    expect(asked.length).toBeGreaterThan(0)
    for (const language of Object.keys(LANGUAGES)) {
      const messages = await Bun.file(join(folder, '_locales', language, 'messages.json')).json()
      for (const key of asked) expect(messages[key]?.message).toBeString()
    }
  })
})

test('the extensions alone are built, to the same bytes in another folder, time zone and umask and of packages fetched anew', async () => {
  const built = (folder: string) =>
    ['chromium', 'firefox'].map((name) => Bun.file(join(folder, `dist/extension/${name}.zip`)).bytes())
  const copies = await Promise.all(
    ['here', 'deep/down/there'].map(async (place, at) => {
      const folder = join(temporaryPath('checkout'), place)
      const isSource = (path: string) => !/^(node_modules|dist|data|\.git)$/.test(relative(root, path))
      cpSync(root, folder, { recursive: true, filter: isSource })
      const zone = ['Asia/Seoul', 'America/St_Johns'][at] as string
      const command = `umask ${at === 0 ? '022' : '077'} && ${process.execPath} run build extension`
      await Bun.$`sh -c ${command}`
        .cwd(folder)
        .env({ ...process.env, TZ: zone })
        .quiet()
      expect(readdirSync(join(folder, 'dist'))).toEqual(['extension'])
      return Promise.all(built(folder))
    }),
  )
  const [here = [], there] = copies
  expect(here.map(({ length }) => length > 50_000)).toEqual([true, true])
  expect(Bun.deepEquals(here, there)).toBe(true)
})

test('reviewers are told the version of Bun that builds it, and every library in it', async () => {
  const manifest = await Bun.file(join(root, 'package.json')).json()
  const command = `npx --yes ${manifest.packageManager} run build extension`
  // What Mozilla's own builder runs.
  expect(manifest.scripts['build-for-amo']).toBe(command)
  const told = await Bun.file(join(root, 'SOURCE.md')).text()
  expect(told).toContain(`\`${command}\``)
  const folder = await builtExtension(CHROMIUM)
  const scripts = readdirSync(folder).filter((name) => name.endsWith('.js'))
  const sources = await Promise.all(scripts.map((name) => Bun.file(join(folder, name)).text()))
  const libraries = new Set(
    sources.flatMap((source) => source.match(/(?<=^\/\/ node_modules\/)(@[^/]+\/)?[^/]+/gm) ?? []),
  )
  expect(told.match(/(?<=`)(@[\w-]+\/)?[\w.-]+(?=`)/g)?.filter((name) => libraries.has(name))).toEqual(
    [...libraries].sort(),
  )
})

test('what Firefox tells before it installs is true: what a person sends leaves the browser', async () => {
  const { browser_specific_settings } = await Bun.file(join(await builtExtension(FIREFOX), 'manifest.json')).json()
  expect(browser_specific_settings.gecko.data_collection_permissions).toEqual({ required: ['websiteContent'] })
  // The first that know that.
  expect(parseInt(browser_specific_settings.gecko.strict_min_version, 10)).toBeGreaterThanOrEqual(140)
  expect(parseInt(browser_specific_settings.gecko_android.strict_min_version, 10)).toBeGreaterThanOrEqual(142)
})

test('Mozilla’s linter has nothing to say about the build for Firefox', async () => {
  const linter = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, '../node_modules/addons-linter/bin/addons-linter'),
      await builtExtension(FIREFOX),
      '--warnings-as-errors',
      '--output=json',
    ],
    { stdout: 'pipe', stderr: 'pipe' },
  )
  const report = await new Response(linter.stdout).json()
  expect([...report.errors, ...report.warnings, ...report.notices]).toEqual([])
  expect(await linter.exited).toBe(0)
})
