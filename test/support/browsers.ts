/**
 * Real Chromium (by puppeteer) and real Firefox (by Marionette, the protocol beneath geckodriver: puppeteer cannot open
 * `moz-extension://` pages there) behind the few words that the tests say: open, click, type, press, wait until.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import puppeteer, {
  type KeyInput,
  type Browser as PuppeteerBrowser,
  type Page as PuppeteerPage,
  type Target,
} from 'puppeteer-core'
import { PATIENCE, poll, type Truthy } from './poll.ts'
import { temporaryPath } from './support.ts'

type Argument = string | number | boolean | null

/** A tab or a popup. Selectors name the first match that is shown; what is not there yet is waited for. */
export abstract class Page {
  abstract goto(url: string): Promise<void>
  abstract reload(): Promise<void>
  /** Runs `script` in the page. It is sent as source, so it sees nothing but the page and its arguments. */
  abstract evaluate<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A): Promise<R>
  /** Presses keys together, by their DOM names: `press('Control', 'Enter')`. */
  abstract press(...keys: string[]): Promise<void>
  /** A PNG of what is seen. */
  abstract screenshot(): Promise<Uint8Array>
  abstract resize(width: number, height: number): Promise<void>
  abstract close(): Promise<void>
  protected abstract clickShown(selector: string): Promise<void>
  protected abstract typeKeys(text: string): Promise<void>

  /** Waits until `script` returns something true, and returns it. `what` is for the error. */
  until<A extends Argument[], R>(what: string, script: (...args: A) => R | Promise<R>, ...args: A): Promise<Truthy<R>> {
    return this.#poll(what, () => this.evaluate(script, ...args))
  }

  async #poll<R>(what: string, probe: () => Promise<R>): Promise<Truthy<R>> {
    return poll(what, probe).catch(async (error) => {
      throw new Error(`${error.message} The page says: ${await this.text('body').catch(String)}`)
    })
  }

  /** Waits until `selector` is shown. */
  async sees(selector: string) {
    await this.until(
      `${selector} to be shown`,
      (selector) => document.querySelector(selector)?.checkVisibility({ visibilityProperty: true }),
      selector,
    )
  }

  /** Waits until `selector` is not shown, or not there. */
  async seesNo(selector: string) {
    await this.until(
      `${selector} to go`,
      (selector) => !document.querySelector(selector)?.checkVisibility({ visibilityProperty: true }),
      selector,
    )
  }

  async click(selector: string) {
    await this.sees(selector)
    await this.clickShown(selector)
  }

  /** Types into `selector`, or, without one, wherever the focus is. */
  async type(text: string, selector?: string) {
    if (selector) await this.click(selector)
    await this.typeKeys(text)
  }

  /** Puts `text` into the field as a paste of it would, whatever its length. */
  async fill(selector: string, text: string) {
    await this.sees(selector)
    await this.evaluate(
      (selector, text) => {
        const field = document.querySelector<HTMLInputElement>(selector)
        if (!field) return
        field.focus()
        field.value = text
        field.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: 'insertFromPaste' }))
      },
      selector,
      text,
    )
  }

  /** Chooses in a `<select>`. */
  async choose(selector: string, value: string) {
    await this.sees(selector)
    await this.evaluate(
      (selector, value) => {
        const field = document.querySelector<HTMLSelectElement>(selector)
        if (!field) return
        field.value = value
        field.dispatchEvent(new Event('input', { bubbles: true }))
        field.dispatchEvent(new Event('change', { bubbles: true }))
      },
      selector,
      value,
    )
  }

  /** What `selector` says now: a field's value, or the text that is seen. Empty where it is not shown. */
  text(selector: string): Promise<string> {
    return this.evaluate((selector) => {
      const element = document.querySelector<HTMLElement>(selector)
      if (!element?.checkVisibility({ visibilityProperty: true })) return ''
      if (element.matches('input, textarea, select')) return (element as HTMLInputElement).value
      // biome-ignore lint/performance/useDomNodeTextContent: what is hidden is not said
      return element.innerText.trim()
    }, selector)
  }

  /** Waits until what `selector` says matches, and returns it. */
  async says(selector: string, pattern: RegExp): Promise<string> {
    let said = ''
    await this.#poll(`${selector} to say ${pattern}`, async () => {
      said = await this.text(selector)
      return pattern.test(said)
    }).catch((error) => {
      throw new Error(`${error.message}\n${selector} says: ${said}`)
    })
    return said
  }
}

export interface Browser<P extends Page = Page> {
  /** The address of the extension's folder, with a slash at the end; empty where none was loaded. */
  readonly extension: string
  /** Opens `url` in a new tab. */
  open(url: string): Promise<P>
  closePages(): Promise<void>
  /** What is in the clipboard. */
  clipboard(): Promise<string>
  /** What went wrong in the pages since it was last asked: uncaught errors, violations of the content security policy. */
  problems(): Promise<string[]>
  close(): Promise<void>
}

export interface BrowserOptions {
  /** The folder of an unpacked extension. */
  extension?: string
}

/** The expression that calls `script` elsewhere. */
const sourceOf = <A extends Argument[]>(script: (...args: A) => unknown, args: A) =>
  `(${script})(...${JSON.stringify(args)})`

const MAC = '/Applications'
const chromiumPath = findProgram('CHROMIUM', [
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
  'google-chrome',
  `${MAC}/Chromium.app/Contents/MacOS/Chromium`,
  `${MAC}/Google Chrome.app/Contents/MacOS/Google Chrome`,
])
const firefoxPath = findProgram('FIREFOX', ['firefox', 'firefox-esr', `${MAC}/Firefox.app/Contents/MacOS/firefox`])

/** The first of `names` on this machine, unless the environment variable `variable` names another. */
function findProgram(variable: string, names: string[]): string | undefined {
  return process.env[variable] || names.map((name) => Bun.which(name)).find((path) => path !== null) || undefined
}

/** A browser that is missing is a failure on CI; elsewhere its tests are skipped, and their title says why. */
function kind<B extends Browser>(name: 'chromium' | 'firefox', path: string | undefined, launch: Launch<B>) {
  const isSkipped = path === undefined && process.env.CI !== 'true'
  const title = `in ${name[0]?.toUpperCase()}${name.slice(1)}${isSkipped ? ' (skipped: it is not installed)' : ''}`
  return { name, title, isSkipped, launch }
}

type Launch<B extends Browser> = (options?: BrowserOptions) => Promise<B>
export type Kind<B extends Browser = Browser> = ReturnType<typeof kind<B>>

export const CHROMIUM = kind('chromium', chromiumPath, launchChromium)
export const FIREFOX = kind('firefox', firefoxPath, launchFirefox)

// ---------------------------------------------------------------------------------------------------- Chromium

export class ChromiumPage extends Page {
  /** The addresses of all requests. */
  readonly requests: string[] = []

  constructor(
    readonly puppet: PuppeteerPage,
    problems: string[],
  ) {
    super()
    puppet.setDefaultTimeout(PATIENCE)
    puppet
      .on('request', (request) => this.requests.push(request.url()))
      .on('pageerror', (error) => problems.push(String(error)))
      .on('console', (message) => {
        // The network's errors (a 404 of the API, a stopped server) are the page's to show, and tests look for that.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
          problems.push(message.text())
        }
      })
  }

  async goto(url: string) {
    await this.puppet.goto(url)
  }
  async reload() {
    await this.puppet.reload()
  }
  async evaluate<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A) {
    return (await this.puppet.evaluate(sourceOf(script, args))) as R
  }
  async press(...keys: string[]) {
    const { keyboard } = this.puppet
    for (const key of keys) await keyboard.down(key as KeyInput)
    for (const key of keys.reverse()) await keyboard.up(key as KeyInput)
  }
  screenshot(): Promise<Uint8Array> {
    return this.puppet.screenshot()
  }
  async resize(width: number, height: number) {
    await this.puppet.setViewport({ width, height })
  }
  async close() {
    if (!this.puppet.isClosed()) await this.puppet.close()
  }
  protected async clickShown(selector: string) {
    // Not by puppeteer's own click: that waits for an IntersectionObserver, which is silent in the real popup.
    const [x, y] = await this.until(
      `${selector} to be in reach of a click`,
      (selector) => {
        const element = document.querySelector(selector)
        element?.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' })
        const box = element?.getBoundingClientRect()
        if (!box) return
        const point = [box.x + box.width / 2, box.y + box.height / 2] as const
        const hit = document.elementFromPoint(...point)
        return (element?.contains(hit) || hit?.closest('label')?.control === element) && point
      },
      selector,
    )
    await this.puppet.mouse.click(x, y)
  }
  protected async typeKeys(text: string) {
    await this.puppet.keyboard.type(text)
  }
}

export class Chromium implements Browser<ChromiumPage> {
  readonly #problems: string[] = []

  constructor(
    readonly puppet: PuppeteerBrowser,
    readonly extension: string,
  ) {}

  async open(url: string): Promise<ChromiumPage> {
    const page = new ChromiumPage(await this.puppet.newPage(), this.#problems)
    await page.goto(url)
    return page
  }

  /** Clicks the extension's button in the toolbar while `page` is in front; returns the popup that opens. */
  async openPopup(page: ChromiumPage): Promise<ChromiumPage> {
    const [extension] = (await this.puppet.extensions()).values()
    if (!extension) throw new Error('No extension was loaded')
    await page.puppet.bringToFront()
    return this.popupThatOpens(() => extension.triggerAction(page.puppet))
  }

  /** The extension's popup that `open` opens. */
  async popupThatOpens(open: () => Promise<unknown>): Promise<ChromiumPage> {
    const before = new Set(this.puppet.targets())
    const isPopup = (target: Target) => !before.has(target) && target.url().startsWith(`${this.extension}popup.html`)
    const [target] = await Promise.all([this.puppet.waitForTarget(isPopup, { timeout: PATIENCE }), open()])
    return new ChromiumPage(await target.asPage(), this.#problems)
  }

  /** Runs `script` in the extension's background. */
  async inBackground<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A) {
    const target = await this.puppet.waitForTarget(
      (target) => target.type() === 'service_worker' && target.url().startsWith(this.extension),
      { timeout: PATIENCE },
    )
    return (await (await target.worker())?.evaluate(sourceOf(script, args))) as R
  }

  /** Reads it in a page of its own: only one in front may. */
  async clipboard(): Promise<string> {
    const page = await this.open(`${this.extension}manifest.json`)
    await this.puppet.defaultBrowserContext().overridePermissions(this.extension.slice(0, -1), ['clipboard-read'])
    const text = await page.evaluate(() => navigator.clipboard.readText())
    await page.close()
    return text
  }

  async problems() {
    return this.#problems.splice(0)
  }

  /** Closes all but one: without any, Chromium ends. */
  async closePages() {
    const [, ...pages] = await this.puppet.pages()
    await Promise.all(pages.map((page) => page.close()))
  }

  async close() {
    await this.puppet.close()
  }
}

async function launchChromium({ extension }: BrowserOptions = {}): Promise<Chromium> {
  if (!chromiumPath) throw new Error('Chromium is not installed')
  const browser = await puppeteer.launch({
    executablePath: chromiumPath,
    // The pipe closes with this process, whatever ends it, and Chromium with the pipe.
    pipe: true,
    userDataDir: temporaryPath('chromium'),
    enableExtensions: extension !== undefined,
    protocolTimeout: 2 * PATIENCE,
    defaultViewport: { width: 1000, height: 800 },
    env: { ...process.env, LANGUAGE: 'en' },
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--lang=en',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // Nothing outside of this machine.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
    ],
  })
  return new Chromium(browser, extension ? `chrome-extension://${await browser.installExtension(extension)}/` : '')
}

// ----------------------------------------------------------------------------------------------------- Firefox

/** The keys that have no character of their own, as WebDriver writes them. */
const WEBDRIVER_KEYS: Record<string, string> = {
  Backspace: '\ue003',
  Tab: '\ue004',
  Enter: '\ue007',
  Shift: '\ue008',
  Control: '\ue009',
  Alt: '\ue00a',
  Escape: '\ue00c',
  Space: ' ',
  End: '\ue010',
  Home: '\ue011',
  ArrowLeft: '\ue012',
  ArrowUp: '\ue013',
  ArrowRight: '\ue014',
  ArrowDown: '\ue015',
  Delete: '\ue017',
}

/** Talks Marionette: `LENGTH:[0, id, command, parameters]` there, `LENGTH:[1, id, error, result]` back. */
class Marionette {
  #received = Buffer.alloc(0)
  #waiting = new Map<number, { resolve: (result: unknown) => void; fail: (why: string) => void }>()
  #sent = 0

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      for (;;) {
        const colon = this.#received.indexOf(':')
        const end = colon + 1 + Number(this.#received.subarray(0, colon))
        if (colon < 0 || this.#received.length < end) return
        const message = JSON.parse(this.#received.toString('utf8', colon + 1, end))
        this.#received = this.#received.subarray(end)
        if (!Array.isArray(message)) continue // The greeting.
        const [, id, error, result] = message
        const { resolve, fail } = this.#waiting.get(id) ?? {}
        this.#waiting.delete(id)
        if (error) fail?.(`${error.error}: ${error.message}`)
        else resolve?.(result)
      }
    })
    socket.on('close', () => {
      for (const { fail } of this.#waiting.values()) fail('Firefox has closed the connection')
      this.#waiting.clear()
    })
  }

  /** Sends a command; returns its result, or what the result has as `value`. */
  async send<Result>(command: string, parameters: object = {}): Promise<Result> {
    const id = ++this.#sent
    const failure = new Error() // Made here, where its stack still tells who asked.
    const answer = new Promise<unknown>((resolve, reject) => {
      const fail = (why: string) => reject(Object.assign(failure, { message: `${command}: ${why}` }))
      this.#waiting.set(id, { resolve, fail })
    })
    const message = JSON.stringify([0, id, command, parameters])
    this.socket.write(`${Buffer.byteLength(message)}:${message}`)
    const result = await answer
    return (result && typeof result === 'object' && 'value' in result ? result.value : result) as Result
  }

  run<Result>(expression: string): Promise<Result> {
    return this.send('WebDriver:ExecuteScript', { script: `return ${expression}`, args: [], sandbox: null })
  }
}

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'

export class FirefoxPage extends Page {
  constructor(
    readonly browser: Firefox,
    readonly handle: string,
  ) {
    super()
  }

  /** Marionette has one current tab: it becomes this one, and nothing else is done there meanwhile. */
  #here<Result>(work: (marionette: Marionette) => Promise<Result>): Promise<Result> {
    return this.browser.inTurn(async (marionette) => {
      await marionette.send('WebDriver:SwitchToWindow', { handle: this.handle, focus: true })
      return work(marionette)
    })
  }

  goto(url: string) {
    return this.#here<void>((marionette) => marionette.send('WebDriver:Navigate', { url }))
  }
  reload() {
    return this.#here<void>((marionette) => marionette.send('WebDriver:Refresh'))
  }
  evaluate<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A) {
    return this.#here<R>((marionette) => marionette.run(sourceOf(script, args)))
  }
  press(...keys: string[]) {
    const values = keys.map((key) => WEBDRIVER_KEYS[key] ?? key)
    const actions = [
      ...values.map((value) => ({ type: 'keyDown', value })),
      ...values.reverse().map((value) => ({ type: 'keyUp', value })),
    ]
    return this.#keys(actions)
  }
  async screenshot() {
    const png = await this.#here<string>((marionette) => marionette.send('WebDriver:TakeScreenshot', { full: false }))
    return Buffer.from(png, 'base64')
  }
  async resize(width: number, height: number) {
    await this.#here((marionette) => marionette.send('WebDriver:SetWindowRect', { width, height }))
  }
  async close() {
    await this.#here((marionette) => marionette.send('WebDriver:CloseWindow'))
  }

  /** Opens the context menu on `selector`, and chooses the entry with this label. */
  async chooseInMenu(selector: string, label: string) {
    await this.#here(async (marionette) => {
      const element = await marionette.send('WebDriver:FindElement', { using: 'css selector', value: selector })
      const actions = [
        { type: 'pointerMove', origin: element, x: 0, y: 0 },
        { type: 'pointerDown', button: 2 },
        { type: 'pointerUp', button: 2 },
      ]
      await marionette.send('WebDriver:PerformActions', { actions: [{ type: 'pointer', id: 'mouse', actions }] })
    })
    await poll(`the menu's entry ${label}`, () =>
      this.browser.inChrome((label) => {
        const { document } = (globalThis as unknown as FirefoxGlobals).Services.wm.getMostRecentWindow(
          'navigator:browser',
        )
        const menu = document.getElementById('contentAreaContextMenu') as Menu | null
        const entry = [...(menu?.querySelectorAll('menuitem') ?? [])].find(
          (entry) => entry.getAttribute('label') === label,
        )
        if (menu?.state !== 'open' || !entry) return false
        menu.activateItem(entry)
        return true
      }, label),
    )
  }
  protected async clickShown(selector: string) {
    // Again where the page changes between the two commands: then nothing was clicked.
    await poll(`${selector} to take a click`, () =>
      this.#here(async (marionette) => {
        const found = await marionette.send<Record<string, string>>('WebDriver:FindElement', {
          using: 'css selector',
          value: selector,
        })
        await marionette.send('WebDriver:ElementClick', { id: found[ELEMENT] })
        return true
      }),
    )
  }
  protected typeKeys(text: string) {
    return this.#keys(
      [...text].flatMap((character) => {
        const value = character === '\n' ? WEBDRIVER_KEYS.Enter : character
        return [
          { type: 'keyDown', value },
          { type: 'keyUp', value },
        ]
      }),
    )
  }
  #keys(actions: object[]) {
    return this.#here<void>((marionette) =>
      marionette.send('WebDriver:PerformActions', { actions: [{ type: 'key', id: 'keyboard', actions }] }),
    )
  }
}

/** The parts of Firefox's own world that are used here. */
export interface FirefoxGlobals {
  Cc: Record<string, { createInstance(type: unknown): Transferable }>
  Ci: Record<'nsITransferable' | 'nsISupportsString' | 'nsIScriptError', new () => object>
  WebExtensionPolicy: {
    getByHostname(uuid: string): { extension: { warnings: string[]; errors: string[] } } | null
  }
  ChromeUtils: {
    importESModule(address: string): {
      ExtensionParent: {
        apiManager: { global: { browserActionFor(extension: unknown): { openPopup(window: unknown): Promise<void> } } }
      }
    }
  }
  Services: {
    clipboard: { kGlobalClipboard: number; getData(into: Transferable, which: number): void }
    wm: { getMostRecentWindow(type: string): { document: Document } }
    console: { getMessageArray(): { errorMessage: string; sourceName: string; flags: number }[]; reset(): void }
  }
}

interface Menu extends Element {
  state: string
  hidePopup(): void
  activateItem(entry: Element): void
}

interface PopupBrowser extends Element {
  browsingContext: {
    currentWindowGlobal: {
      getActor(name: string): { executeScript(script: string, args: unknown[], options: object): Promise<unknown> }
    }
  }
}

interface Transferable {
  init(context: null): void
  addDataFlavor(type: string): void
  getTransferData(type: string, into: { value?: { QueryInterface(type: unknown): { data: string } } }): void
}

/**
 * The extension's popup at the toolbar. Marionette counts it among no windows, so scripts go in by the actor with which
 * Marionette itself talks to pages; what is clicked and typed there are the script's clicks and insertions.
 */
export class FirefoxPopup extends Page {
  constructor(readonly browser: Firefox) {
    super()
  }

  evaluate<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A) {
    return this.browser.inChrome<[string, number], R>(
      async (expression, timeout) => {
        const { Services } = globalThis as unknown as FirefoxGlobals
        const { document } = Services.wm.getMostRecentWindow('navigator:browser')
        const popup = document.querySelector('browser.webextension-popup-browser') as PopupBrowser | null
        if (!popup) throw new Error('There is no popup')
        const actor = popup.browsingContext.currentWindowGlobal.getActor('MarionetteCommands')
        return (await actor.executeScript(`return ${expression}`, [], { sandboxName: null, timeout })) as R
      },
      sourceOf(script, args),
      PATIENCE,
    )
  }
  close() {
    return this.browser.closePopup()
  }
  protected async clickShown(selector: string) {
    await this.evaluate((selector) => document.querySelector<HTMLElement>(selector)?.click(), selector)
  }
  protected async typeKeys(text: string) {
    await this.evaluate((text) => void document.execCommand('insertText', false, text), text)
  }
  override async type(text: string, selector?: string) {
    if (selector) await this.sees(selector)
    if (selector) await this.evaluate((selector) => document.querySelector<HTMLElement>(selector)?.focus(), selector)
    await this.typeKeys(text)
  }
  goto = beyondPopup
  reload = beyondPopup
  press = beyondPopup
  screenshot = beyondPopup
  resize = beyondPopup
}

const beyondPopup = (): Promise<never> => Promise.reject(new Error('Marionette cannot do this in a popup'))

export class Firefox implements Browser<FirefoxPage> {
  #last: Promise<unknown> = Promise.resolve()

  constructor(
    readonly marionette: Marionette,
    readonly process: Bun.Subprocess,
    readonly extension: string,
    /** The tab that it started with, which stays: from a closed one no other can be opened. */
    readonly firstTab: string,
  ) {}

  /** Does `work` when all that was asked before is done. */
  inTurn<Result>(work: (marionette: Marionette) => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(() => work(this.marionette))
    this.#last = turn.catch(() => {})
    return turn
  }

  async open(url: string): Promise<FirefoxPage> {
    const { handle } = await this.inTurn(async (marionette) => {
      await marionette.send('WebDriver:SwitchToWindow', { handle: this.firstTab })
      return marionette.send<{ handle: string }>('WebDriver:NewWindow', { type: 'tab', focus: true })
    })
    const page = new FirefoxPage(this, handle)
    await page.goto(url)
    return page
  }

  /** Runs `script` in the browser's own window, where its menus and settings are. */
  inChrome<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A): Promise<R> {
    return this.inTurn(async (marionette) => {
      await marionette.send('Marionette:SetContext', { value: 'chrome' })
      try {
        return await marionette.run<R>(sourceOf(script, args))
      } finally {
        await marionette.send('Marionette:SetContext', { value: 'content' })
      }
    })
  }

  /** Clicks the extension's button in the toolbar while `page` is in front; returns the popup that opens. */
  async openPopup(page: FirefoxPage): Promise<FirefoxPopup> {
    await page.evaluate(() => document.hasFocus())
    await this.inChrome(async (address) => {
      const { ChromeUtils, Services, WebExtensionPolicy } = globalThis as unknown as FirefoxGlobals
      const { ExtensionParent } = ChromeUtils.importESModule('resource://gre/modules/ExtensionParent.sys.mjs')
      const policy = WebExtensionPolicy.getByHostname(new URL(address).hostname)
      const button = ExtensionParent.apiManager.global.browserActionFor(policy?.extension)
      await button.openPopup(Services.wm.getMostRecentWindow('navigator:browser'))
    }, this.extension)
    return new FirefoxPopup(this)
  }

  clipboard(): Promise<string> {
    return this.inChrome(() => {
      const { Cc, Ci, Services } = globalThis as unknown as FirefoxGlobals
      const transferable = Cc['@mozilla.org/widget/transferable;1']?.createInstance(Ci.nsITransferable)
      if (!transferable) return ''
      transferable.init(null)
      transferable.addDataFlavor('text/plain')
      Services.clipboard.getData(transferable, Services.clipboard.kGlobalClipboard)
      const found: Parameters<typeof transferable.getTransferData>[1] = {}
      transferable.getTransferData('text/plain', found)
      return found.value?.QueryInterface(Ci.nsISupportsString).data ?? ''
    })
  }

  problems(): Promise<string[]> {
    return this.inChrome((extension) => {
      const { Ci, Services } = globalThis as unknown as FirefoxGlobals
      const messages = Services.console.getMessageArray()
      Services.console.reset()
      return (
        messages
          .filter((message) => message instanceof Ci.nsIScriptError)
          .filter(
            ({ sourceName, flags }) =>
              (!(flags & 1) && /^https?:/.test(sourceName)) || sourceName.startsWith(extension),
          )
          .map(({ errorMessage }) => errorMessage)
          // Said of a page that closes or reloads before the extension's storage has answered it: nobody is there to miss it.
          .filter((problem) => !/^Promise (resolved|rejected) (after|while) context /.test(problem))
      )
    }, this.extension || 'about:nothing')
  }

  /** Closes the extension's popup, if it is open. */
  async closePopup() {
    await poll('the popup to close', () =>
      this.inChrome(() => {
        const { Services } = globalThis as unknown as FirefoxGlobals
        const { document } = Services.wm.getMostRecentWindow('navigator:browser')
        const popup = document.querySelector('browser.webextension-popup-browser')
        popup?.closest<Menu>('panel')?.hidePopup()
        return !popup
      }),
    )
  }

  async closePages() {
    await this.closePopup()
    await this.inTurn(async (marionette) => {
      for (const handle of await marionette.send<string[]>('WebDriver:GetWindowHandles')) {
        if (handle === this.firstTab) continue
        await marionette.send('WebDriver:SwitchToWindow', { handle })
        await marionette.send('WebDriver:CloseWindow')
      }
    })
  }

  async close() {
    this.marionette.socket.destroy()
    this.process.kill('SIGKILL')
    await this.process.exited
  }
}

async function launchFirefox({ extension }: BrowserOptions = {}): Promise<Firefox> {
  if (!firefoxPath) throw new Error('Firefox is not installed')
  const profile = temporaryPath('firefox')
  mkdirSync(profile)
  const uuid = crypto.randomUUID()
  const id = extension && (await Bun.file(join(extension, 'manifest.json')).json()).browser_specific_settings.gecko.id
  const settings = {
    'marionette.port': 0,
    'extensions.webextensions.uuids': JSON.stringify({ [id]: uuid }),
    'intl.accept_languages': 'en',
    'intl.locale.requested': 'en-US',
    'datareporting.policy.dataSubmissionEnabled': false,
    // Nothing outside of this machine: a proxy that is not there, and that loopback does not use.
    'network.proxy.type': 1,
    'network.proxy.http': '127.0.0.1',
    'network.proxy.http_port': 9,
    'network.proxy.ssl': '127.0.0.1',
    'network.proxy.ssl_port': 9,
  }
  writeFileSync(
    join(profile, 'user.js'),
    Object.entries(settings)
      .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`)
      .join(''),
  )
  const process = Bun.spawn(
    [
      // On Linux it ends with this process, whatever ends that.
      ...(Bun.which('setpriv') ? ['setpriv', '--pdeathsig', 'KILL'] : []),
      ...[
        firefoxPath,
        '--headless',
        '--no-remote',
        '--marionette',
        '--remote-allow-system-access',
        '--profile',
        profile,
      ],
    ],
    { stdout: 'ignore', stderr: 'ignore', stdin: 'ignore' },
  )
  const port = await portOf(profile, process)
  const socket = connect({ port, host: '127.0.0.1' })
  const marionette = new Marionette(socket)
  await marionette.send('WebDriver:NewSession', { pageLoadStrategy: 'normal' })
  await marionette.send('WebDriver:SetTimeouts', { implicit: 0, pageLoad: PATIENCE, script: PATIENCE })
  if (extension) await marionette.send('Addon:Install', { path: extension, temporary: true })
  const firstTab = await marionette.send<string>('WebDriver:GetWindowHandle')
  return new Firefox(marionette, process, extension ? `moz-extension://${uuid}/` : '', firstTab)
}

/** Where Marionette listens, which Firefox writes into its profile when it is ready. */
async function portOf(profile: string, process: Bun.Subprocess): Promise<number> {
  const end = Date.now() + 4 * PATIENCE
  while (Date.now() < end && process.exitCode === null) {
    const port = Number(
      await Bun.file(join(profile, 'MarionetteActivePort'))
        .text()
        .catch(() => ''),
    )
    if (port > 0) return port
    await Bun.sleep(25)
  }
  throw new Error(process.exitCode === null ? 'Firefox did not start in time' : 'Firefox ended as it started')
}
