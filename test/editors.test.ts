/** “Send selection” and “Load into this field” with the editors that pages write with, and with every kind of field. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import en from '../extension/_locales/en/messages.json'
import type { Browser, Page } from './support/browsers.ts'
import { CHROMIUM, Chromium, type ChromiumPage } from './support/chromium.ts'
import { FIREFOX, type Firefox, type FirefoxGlobals, type FirefoxPage, FirefoxPopup } from './support/firefox.ts'
import { describeIn, forgetAll, isReady, tells } from './support/homes.ts'
import { poll } from './support/poll.ts'
import { type TestServer, testServer } from './support/server.ts'
import { temporaryPath } from './support/support.ts'

type Selected = 'all' | 'end of the first line'

/** What the page of `fixtures/editors.js` has for the tests. */
declare global {
  function startEditor(name: string, text: string): Promise<void>
  function editorText(): string
  function editorSelects(what: Selected): boolean
}

let server: TestServer
let site: Bun.Server<undefined>
beforeAll(async () => {
  server = await testServer()
  const editors = temporaryPath('editors')
  await Bun.build({
    entrypoints: [
      join(import.meta.dir, 'fixtures/editors.html'),
      Bun.resolveSync('monaco-editor/editor/editor.worker.js', import.meta.dir),
    ],
    outdir: editors,
    naming: { entry: '[name].[ext]' },
    splitting: true,
    minify: { syntax: true },
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  })
  site = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const { pathname, searchParams } = new URL(request.url)
      const body = searchParams.get('body')
      if (body !== null) {
        const html = `<!doctype html><meta charset="utf-8"><title>Fields</title>${body}`
        return new Response(html, { headers: { 'content-type': 'text/html' } })
      }
      const lines = Number(searchParams.get('pdf'))
      if (lines) return new Response(pdfOf(lines), { headers: { 'content-type': 'application/pdf' } })
      const file = Bun.file(join(editors, pathname))
      return pathname === '/favicon.ico' ? new Response() : new Response(file)
    },
  })
})
afterAll(async () => {
  await site.stop(true)
  await server[Symbol.asyncDispose]()
})

/** The address of a page with `body` in it. */
const pageOf = (body: string, host = '127.0.0.1') => `http://${host}:${site.port}/?${new URLSearchParams({ body })}`

/** A click in the context menu. */
interface Click {
  menuItemId: 'send-selection' | 'load-into-field'
  frameId?: number
  selectionText?: string
}

/** What a person does with a page and the extension, in either browser. */
interface Hands<P extends Page> {
  /** Opens a page that the extension may touch, with nothing remembered from before. */
  open(url: string): Promise<P>
  /** Clicks an entry of the context menu, which some of the editors replace by their own. */
  click(click: Click): Promise<unknown>
  popupThatOpens(click: Click): Promise<Page>
  /** The id of the first frame in the page. */
  frame(page: P): Promise<number>
}

const chromiumHands = (browser: () => Chromium): Hands<ChromiumPage> => {
  const click = (click: Click) =>
    browser().inBackground(
      async (click) => {
        const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true })
        const { onClicked } = chrome.contextMenus as unknown as { onClicked: { dispatch(...args: unknown[]): void } }
        onClicked.dispatch(JSON.parse(click), tab)
      },
      JSON.stringify({ frameId: 0, ...click }),
    )
  return {
    click,
    async open(url) {
      await (await forgetAll(browser(), server)).close()
      const page = await browser().open(url)
      await (await browser().openPopup(page)).close()
      return page
    },
    popupThatOpens: (menu) => browser().popupThatOpens(() => click(menu)),
    frame: () =>
      browser().inBackground(async () => {
        const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true })
        const found: number[] = []
        // The page itself has a number too.
        for (let frameId = 1; found.length < 2; frameId++) {
          const target = { tabId: tab?.id ?? 0, frameIds: [frameId] }
          const failure = await chrome.scripting.executeScript({ target, func: () => {} }).then(() => '', String)
          if (!/No frame with id/.test(failure)) found.push(frameId)
        }
        return found[1] ?? 0
      }),
  }
}

/** More of Firefox's own world. */
interface Window {
  gBrowser: { selectedTab: { linkedBrowser: { browsingContext: { children: { id: number }[] } } } }
}
interface Extension {
  tabManager: { addActiveTabPermission(tab: unknown): void }
  emit(event: string, ...details: unknown[]): void
}

const firefoxHands = (browser: () => Firefox): Hands<FirefoxPage> => {
  const click = (click: Click) =>
    browser().inChrome(
      (address, click) => {
        const { Services, WebExtensionPolicy } = globalThis as unknown as FirefoxGlobals
        const { gBrowser } = Services.wm.getMostRecentWindow('navigator:browser') as unknown as Window
        const policy = WebExtensionPolicy.getByHostname(new URL(address).hostname)
        const extension = policy?.extension as unknown as Extension
        extension.tabManager.addActiveTabPermission(gBrowser.selectedTab)
        extension.emit('webext-menu-menuitem-click', JSON.parse(click), gBrowser.selectedTab)
      },
      browser().extension,
      JSON.stringify({ frameId: 0, modifiers: [], ...click }),
    )
  return {
    click,
    async open(url) {
      await (await forgetAll(browser(), server)).close()
      return browser().open(url)
    },
    async popupThatOpens(menu) {
      await click(menu)
      return new FirefoxPopup(browser())
    },
    async frame(page) {
      await page.evaluate(() => document.hasFocus())
      return browser().inChrome(() => {
        const { Services } = globalThis as unknown as FirefoxGlobals
        const { gBrowser } = Services.wm.getMostRecentWindow('navigator:browser') as unknown as Window
        return gBrowser.selectedTab.linkedBrowser.browsingContext.children[0]?.id ?? 0
      })
    },
  }
}

const EDITORS = [
  'ace',
  'ckeditor',
  'codemirror',
  'draft',
  'lexical',
  'monaco',
  'prosemirror',
  'quill',
  'react-textarea',
  'slate',
  'vue-textarea',
]

/** More than any screen shows: code editors draw only a part of it. */
const LONG = Array.from({ length: 3000 }, (_, index) => `line ${index}`).join('\n')

/** The lines without the empty ones, which stand between paragraphs too. */
const linesOf = (text = '') => text.split(/\s*\n\s*/).filter(Boolean)

const FOUR = 'one\ntwo\nthree\nfour'
const DIFFICULT = 'if <b>&amp;</b>:\n\n    four  spaces\n\ta tab\nend'

/** A field with its cursor at its end; what is put there, what is told of it, and what then stands in the field. */
const FIELDS: [kind: string, html: string, text: string, told: string, value: string][] = [
  ['a box', '<textarea>before </textarea>', DIFFICULT, 'intoFieldDone', `before ${DIFFICULT}`],
  ['a line', '<input value="before ">', 'one line\n', 'intoFieldDone', 'before one line'],
  ['a line that gets four', '<input>', FOUR, 'intoFieldPart', 'one two three four'],
  ['a line with a limit', '<input maxlength="5">', '0123456789', 'intoFieldPart', '01234'],
  ['a box with a limit', '<textarea maxlength="5"></textarea>', FOUR, 'intoFieldPart', 'one\nt'],
  ['a number', '<input type="number">', '42', 'intoFieldDone', '42'],
  ['a number that gets words', '<input type="number">', 'forty-two', 'intoFieldPart', ''],
  ['a box that cannot be changed', '<textarea readonly></textarea>', FOUR, 'intoFieldReadOnly', ''],
  ['a box with capitals only', '<textarea oninput="value = value.toUpperCase()">', 'one', 'intoFieldPart', 'ONE'],
  ['a box that empties itself', '<textarea oninput="setTimeout(() => value = ``)">', 'one', 'intoFieldPart', ''],
  ['a box that takes no paste', '<textarea onpaste="return false"></textarea>', 'one', 'intoFieldPart', ''],
  ['rich text', '<div contenteditable>be</div>', DIFFICULT, 'intoFieldDone', `be${DIFFICULT}`],
  ['rich text in paragraphs', '<div contenteditable><p>be</p></div>', FOUR, 'intoFieldDone', `be${FOUR}`],
  ['rich text in a list', '<ul contenteditable><li>be</li></ul>', FOUR, 'intoFieldDone', `be${FOUR}`],
  [
    'preformatted text',
    '<div contenteditable style="white-space: pre-wrap">before </div>',
    DIFFICULT,
    'intoFieldDone',
    `before ${DIFFICULT}`,
  ],
  ['plain text', '<div contenteditable="plaintext-only">be</div>', DIFFICULT, 'intoFieldDone', `be${DIFFICULT}`],
]

/** A PDF of one page with `count` lines on it. */
function pdfOf(count: number): string {
  const lines = Array.from({ length: count }, (_, index) => `(line ${index} of a PDF) Tj T*`)
  const stream = `BT /F1 2 Tf 2 TL 10 2990 Td\n${lines.join('\n')}\nET`
  return `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 1000 3000]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj
4 0 obj<</Length ${stream.length}>>stream
${stream}
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
`
}

/** Puts the focus into the first field of the page, and the cursor at its end. */
const focusField = (page: Page) =>
  page.evaluate(() => {
    const field = document.querySelector<HTMLElement>('input, textarea, [contenteditable]')
    field?.focus()
    if (field instanceof HTMLInputElement && field.type === 'number') return
    if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) {
      return field.setSelectionRange(field.value.length, field.value.length)
    }
    let last: Node | null | undefined = field
    while (last?.lastChild) last = last.lastChild
    if (last) getSelection()?.collapse(last, last.textContent?.length)
  })

/** Sends what is selected by `choose`; returns what is stored, and the key of what the popup says of it. */
async function sentBy(browser: Browser, choose: () => Promise<unknown>) {
  const stored = () => server.query<{ texts: number }>('SELECT count(*) AS texts FROM text')[0]?.texts ?? 0
  const before = stored()
  await choose()
  // No other tab is opened before: editors that lose the focus forget what is selected.
  await poll('the text to be stored', async () => stored() > before)
  const options = await browser.open(`${browser.extension}options.html`)
  const code = await options.until('the badge', () => chrome.action.getBadgeText({}))
  const popup = await browser.open(`${browser.extension}popup.html`)
  await isReady(popup)
  const told = await popup.evaluate(() => document.querySelector<HTMLElement>('#message')?.dataset.say ?? '')
  return { text: await server.load(code), told }
}

function editorTests<P extends Page>(browser: () => Browser, { open, click, popupThatOpens, frame }: Hands<P>) {
  async function openEditor(name: string, text: string) {
    const page = await open(`http://127.0.0.1:${site.port}/editors.html`)
    await page.until('the editors', () => 'startEditor' in globalThis && document.hasFocus())
    await page.evaluate((name, text) => startEditor(name, text), name, text)
    return page
  }

  /** Selects by keys, again where an editor sets the selection back. */
  const select = (page: Page, what: Selected) =>
    poll(`${what} to be selected`, async () => {
      if (what === 'all') await page.press('Control', 'a')
      else {
        await page.press('Control', 'Home')
        await page.press('End')
      }
      return page.evaluate((what) => editorSelects(what as Selected), what)
    })

  /** Sends what is selected. */
  const send = (menu: Partial<Click> = {}) => sentBy(browser(), () => click({ menuItemId: 'send-selection', ...menu }))

  /** Loads `text` into the field that has the focus; returns the key of the message that tells what came of it. */
  async function fill(text: string, { frameId = 0, meanwhile = async () => {} } = {}): Promise<string> {
    const code = await server.write(text)
    const popup = await popupThatOpens({ menuItemId: 'load-into-field', frameId })
    await isReady(popup)
    await popup.sees('#field-note')
    await meanwhile()
    await popup.type(code, '#load-code')
    await popup.click('#load-submit')
    const told = await popup.until('what came of it', () => {
      const key = document.querySelector<HTMLElement>('#message')?.dataset.say
      return key?.startsWith('intoField') && key
    })
    await popup.close()
    return told
  }

  /** What stands in the first field, as far as it is shown. */
  const fieldValue = (page: Page) =>
    page.evaluate(() => {
      const field = document.querySelector<HTMLElement>('input, textarea, [contenteditable]')
      // biome-ignore lint/performance/useDomNodeTextContent: only what is shown has its line breaks
      return (field as HTMLInputElement | null)?.value ?? field?.innerText ?? ''
    })

  test.each([...EDITORS, 'react-input', 'vue-input'])('all that is selected in %s is sent', async (name) => {
    const text = name.endsWith('input') ? 'one line' : LONG
    const page = await openEditor(name, text)
    await select(page, 'all')
    const sent = await send({ selectionText: 'not this' })
    expect(linesOf(sent.text)).toEqual(linesOf(text))
    expect(sent.told).toBe('')
  })

  test.each(['codemirror', 'monaco'])(
    'all that is selected in %s is sent while the popup has the focus',
    async (name) => {
      const page = await openEditor(name, LONG)
      await select(page, 'all')
      const popup = await popupThatOpens({ menuItemId: 'load-into-field' })
      await isReady(popup)
      const sent = await send({ selectionText: 'not this' })
      expect(linesOf(sent.text)).toEqual(linesOf(LONG))
    },
  )

  test.each(EDITORS)('%s is filled line by line, and its undo takes it back', async (name) => {
    const page = await openEditor(name, 'before\nlast')
    await select(page, 'end of the first line')
    expect(await fill(': one\ntwo\nthree\nfour')).toBe('intoFieldDone')
    expect(await page.evaluate(() => editorText())).toBe('before: one\ntwo\nthree\nfour\nlast')
    await page.press('Control', 'z')
    await page.until('the text of before', () => editorText() === 'before\nlast')
  })

  test.each(['react-input', 'vue-input'])('%s is filled, and its undo takes it back', async (name) => {
    const page = await openEditor(name, 'before')
    await page.press('End')
    expect(await fill(', one')).toBe('intoFieldDone')
    expect(await page.evaluate(() => editorText())).toBe('before, one')
    await page.press('Control', 'z')
    await page.until('the text of before', () => editorText() === 'before')
  })

  test.each(['ace', 'codemirror', 'monaco'])(
    '%s, which shows only the end of a long text, is told apart',
    async (name) => {
      const page = await openEditor(name, '')
      expect(await fill(LONG)).toBe('intoFieldUnseen')
      expect(await page.evaluate(() => editorText())).toBe(LONG)
    },
  )

  test.each(FIELDS)('%s: what is told is what is there, and undo takes it back', async (_, html, text, told, value) => {
    const page = await open(pageOf(html))
    await focusField(page)
    const before = await fieldValue(page)
    expect(await fill(text)).toBe(told)
    const after = await fieldValue(page)
    const clean = (text: string) => text.replaceAll('\xa0', ' ').replace(/\n+/g, '\n').replaceAll('\t', '    ')
    expect(clean(after)).toBe(clean(value))
    if (told !== 'intoFieldDone') return
    await page.press('Control', 'z')
    expect((await fieldValue(page)).trim()).toBe(before.trim())
  })

  test('what is selected in a field is replaced, by itself too', async () => {
    for (const html of ['<textarea>one old three</textarea>', '<div contenteditable>one old three</div>']) {
      const page = await open(pageOf(html))
      await focusField(page)
      for (const text of ['new\nand newer', 'new\nand newer']) {
        await page.evaluate(() => {
          const field = document.querySelector<HTMLElement>('textarea, [contenteditable]')
          if (field instanceof HTMLTextAreaElement) return field.setSelectionRange(4, field.value.length - 6)
          const [first, last] = [field?.firstChild, field?.lastChild]
          if (first && last) getSelection()?.setBaseAndExtent(first, 4, last, (last.textContent?.length ?? 0) - 6)
        })
        expect(await fill(text)).toBe('intoFieldDone')
      }
      expect((await fieldValue(page)).replace(/\n+/g, '\n')).toBe('one new\nand newer three')
    }
  })

  test('300 kB of lines are in a field as fast as by a paste', async () => {
    const text = Array.from({ length: 13_000 }, (_, index) => `${index} is a line of text`).join('\n')
    for (const html of ['<div contenteditable></div>', '<textarea></textarea>']) {
      const page = await open(pageOf(html))
      await focusField(page)
      expect(await fill(text)).toBe('intoFieldDone')
      expect((await fieldValue(page)).trim()).toBe(text)
    }
  })

  test.each(['open', 'closed'])('a field in a shadow root that is %s is filled', async (mode) => {
    for (const html of ['<textarea></textarea>', '<div contenteditable></div>']) {
      const page = await open(pageOf('<main></main>'))
      await page.evaluate(
        (mode, html) => {
          const root = document.querySelector('main')?.attachShadow({ mode: mode as ShadowRootMode })
          if (!root) return
          root.innerHTML = html
          const field = root.firstElementChild as HTMLElement
          field.focus()
          Object.assign(window, { field })
        },
        mode,
        html,
      )
      expect(await fill(FOUR)).toBe('intoFieldDone')
      const value = await page.evaluate(() => {
        const { field } = window as unknown as { field: HTMLTextAreaElement }
        // biome-ignore lint/performance/useDomNodeTextContent: only what is shown has its line breaks
        return field.value ?? field.innerText
      })
      expect(value).toBe(FOUR)
    }
  })

  test('a page that lets nobody write HTML is filled', async () => {
    const page = await open(
      pageOf(
        '<meta http-equiv="content-security-policy" content="require-trusted-types-for \'script\'; default-src \'none\'"><div contenteditable></div>',
      ),
    )
    await focusField(page)
    expect(await fill(FOUR)).toBe('intoFieldDone')
    expect(await fieldValue(page)).toBe(FOUR)
  })

  test('a field in a frame of the same site is filled; what is selected there is sent', async () => {
    const page = await open(pageOf('<iframe srcdoc="<textarea></textarea><p>one<p>two"></iframe>'))
    await page.evaluate(() => {
      const inner = document.querySelector('iframe')?.contentDocument
      inner?.querySelector('textarea')?.focus()
    })
    const frameId = await frame(page)
    expect(await fill(FOUR, { frameId })).toBe('intoFieldDone')
    expect(
      await page.evaluate(() => document.querySelector('iframe')?.contentDocument?.querySelector('textarea')?.value),
    ).toBe(FOUR)
    await page.evaluate(() => {
      const inner = document.querySelector('iframe')?.contentWindow
      inner?.document.querySelector('textarea')?.blur()
      inner?.getSelection()?.selectAllChildren(inner.document.body)
    })
    const { text, told } = await send({ frameId })
    expect([linesOf(text?.trim()), told]).toEqual([['one', 'two'], ''])
  })

  test('a frame of another site is closed, and the person is told', async () => {
    const inner = pageOf('<textarea autofocus></textarea>', 'localhost')
    const page = await open(
      pageOf(`<iframe src="${inner.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}"></iframe>`),
    )
    const frameId = await frame(page)
    expect(await fill(FOUR, { frameId })).toBe('intoFieldFrame')
    // Firefox's menu keeps line breaks.
    const told = browser() instanceof Chromium ? 'sentFlat' : ''
    expect(await send({ frameId, selectionText: 'one two' })).toEqual({ text: 'one two', told })
  })

  test('a field that is gone, or whose page is, is told so', async () => {
    const page = await open(pageOf('<textarea></textarea>'))
    await focusField(page)
    const remove = () => page.evaluate(() => document.querySelector('textarea')?.remove())
    expect(await fill(FOUR, { meanwhile: remove })).toBe('intoFieldFailed')
    await page.reload()
    await focusField(page)
    expect(await fill(FOUR, { meanwhile: () => page.reload() })).toBe('intoFieldFailed')
    await page.reload()
    expect(await fill(FOUR)).toBe('intoFieldFailed')
  })

  test('the field that was asked for is filled, wherever the focus went', async () => {
    const page = await open(pageOf('<textarea></textarea><input>'))
    await focusField(page)
    const leave = () => page.evaluate(() => document.querySelector('input')?.focus())
    expect(await fill(FOUR, { meanwhile: leave })).toBe('intoFieldDone')
    expect(await fieldValue(page)).toBe(FOUR)
  })

  test.each([
    ['rich text', '<p>one</p><ul><li>two<li>three</ul><b>fo</b>ur', 'body'],
    [
      'hidden and unselectable text',
      '<p>one<p hidden>no<p style="user-select: none">no</p><p>two<p>three<br>four',
      'body',
    ],
    [
      'a page that adds to what is copied',
      '<p oncopy="event.clipboardData.setData(`text/plain`, `ours`); return false">one<br>two<br>three<br>four',
      'body',
    ],
    ['a box', '<textarea>zero\none\ntwo\nthree\nfour\nfive</textarea>', 'textarea'],
    ['a field of rich text', '<div contenteditable>one<div>two</div><div>three</div>four</div>', 'div'],
    [
      'an editor that only shows',
      `<div role="textbox" contenteditable="false" oncopy="event.clipboardData.setData('text/plain', 'one\\ntwo\\nthree\\nfour'); return false">three</div>`,
      'div',
    ],
  ])('%s is sent with its lines', async (_, html, selector) => {
    const page = await open(pageOf(html))
    await page.evaluate((selector) => {
      const element = document.querySelector(selector)
      if (!(element instanceof HTMLTextAreaElement)) return element && getSelection()?.selectAllChildren(element)
      element.focus()
      element.setSelectionRange(5, element.value.length - 5)
    }, selector)
    const { text, told } = await send({ selectionText: 'one two' })
    expect([linesOf(text?.trim()), told]).toEqual([['one', 'two', 'three', 'four'], ''])
  })
}

describeIn(CHROMIUM, (chromium) => {
  const hands = chromiumHands(chromium)
  editorTests(chromium, hands)

  test('a field in a page of the browser’s own is closed, and the person is told', async () => {
    await (await forgetAll(chromium(), server)).close()
    await chromium().open('chrome://version')
    const popup = await hands.popupThatOpens({ menuItemId: 'load-into-field' })
    await popup.type(await server.write(FOUR), '#load-code')
    await tells(popup, 'intoFieldPage')
  })

  test('the notification tells what a selection may have lost', async () => {
    await (await forgetAll(chromium(), server)).close()
    await chromium().open('chrome://version')
    await chromium().inBackground(() => {
      const { create } = chrome.notifications
      const told: string[] = []
      Object.assign(globalThis, { told })
      chrome.notifications.create = new Proxy(create, {
        apply: (create, self, [options]) => [told.push(options.message), Reflect.apply(create, self, [options])][1],
      })
    })
    await hands.click({ menuItemId: 'send-selection', selectionText: 'one two' })
    const told = await poll('the notification', () =>
      chromium().inBackground(() => (globalThis as unknown as { told: string[] }).told[0]),
    )
    expect(told).toEndWith(`\n${en.sentFlat.message}`)
  })
})

describeIn(FIREFOX, (firefox) => {
  const hands = firefoxHands(firefox)
  editorTests(firefox, hands)

  test.each([
    [100, ''],
    [1200, 'sentPart'],
  ])('of a PDF, %d selected lines are sent, and what the browser cuts off is told', async (count, told) => {
    const page = await hands.open(`http://127.0.0.1:${site.port}/?pdf=${count}`)
    await page.sees('.textLayer span')
    await page.evaluate(() => {
      const text = document.querySelector('.textLayer')
      if (text) getSelection()?.selectAllChildren(text)
    })
    const choose = () => page.chooseInMenu('.textLayer span', en.sendSelection.message)
    const sent = await sentBy(firefox(), choose)
    expect(sent.told).toBe(told)
    const lines = linesOf(sent.text)
    expect(lines.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, index) => `line ${index} of a PDF`))
    expect(lines.length === count).toBe(told === '')
  })
})
