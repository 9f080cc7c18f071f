/** Real Firefox, by Marionette: puppeteer cannot open `moz-extension://` pages there. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type Argument, type Browser, type BrowserOptions, kind, Page, sourceOf } from './browsers.ts'
import { Marionette } from './marionette.ts'
import { PATIENCE, poll } from './poll.ts'
import { temporaryPath } from './support.ts'

const programs = ['firefox', 'firefox-esr', '/Applications/Firefox.app/Contents/MacOS/firefox']

export const FIREFOX = kind('firefox', programs, launch)

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

  open(url: string): Promise<FirefoxPage> {
    return this.#openNew(url, { type: 'tab' })
  }

  /** Opens `url` in a private window, where the extension may be too. */
  openPrivate(url: string): Promise<FirefoxPage> {
    return this.#openNew(url, { type: 'window', private: true })
  }

  async #openNew(url: string, kind: object): Promise<FirefoxPage> {
    const { handle } = await this.inTurn(async (marionette) => {
      await marionette.send('WebDriver:SwitchToWindow', { handle: this.firstTab })
      return marionette.send<{ handle: string }>('WebDriver:NewWindow', { ...kind, focus: true })
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

async function launch(program: string, { extension }: BrowserOptions): Promise<Firefox> {
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
      ...[program, '--headless', '--no-remote', '--marionette', '--remote-allow-system-access', '--profile', profile],
    ],
    { stdout: 'ignore', stderr: 'ignore', stdin: 'ignore' },
  )
  const port = await poll(
    'Firefox to say where Marionette listens',
    async () => Number(await Bun.file(join(profile, 'MarionetteActivePort')).text()),
    4 * PATIENCE,
  )
  const socket = connect({ port, host: '127.0.0.1' })
  const marionette = new Marionette(socket)
  await marionette.send('WebDriver:NewSession', { pageLoadStrategy: 'normal', acceptInsecureCerts: true })
  await marionette.send('WebDriver:SetTimeouts', { implicit: 0, pageLoad: PATIENCE, script: PATIENCE })
  if (extension) {
    await marionette.send('Addon:Install', { path: extension, temporary: true, allowPrivateBrowsing: true })
  }
  const firstTab = await marionette.send<string>('WebDriver:GetWindowHandle')
  return new Firefox(marionette, process, extension ? `moz-extension://${uuid}/` : '', firstTab)
}
