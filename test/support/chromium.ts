/** Real Chromium, by puppeteer. */
import puppeteer, {
  type KeyInput,
  type Browser as PuppeteerBrowser,
  type Page as PuppeteerPage,
  type Target,
} from 'puppeteer-core'
import { type Argument, type Browser, type BrowserOptions, kind, Page, sourceOf } from './browsers.ts'
import { PATIENCE } from './poll.ts'
import { temporaryPath } from './support.ts'

const programs = [
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
  'google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

export const CHROMIUM = kind('chromium', programs, launch)

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
        // The network's errors (a 404 of the API, a stopped server) are the page's to show, and tests look for that. And on
        // plain http Chromium tells of each header that holds only on https.
        const isExpected = /^Failed to load resource|^The Cross-Origin-Opener-Policy header/.test(message.text())
        if (message.type() === 'error' && !isExpected) {
          problems.push(message.text())
        }
      })
  }

  async goto(url: string) {
    await Promise.race([this.#loads(), this.puppet.goto(url)])
  }
  async reload() {
    await Promise.race([this.#loads(), this.puppet.reload()])
  }
  /** Puppeteer waits for an answer too: where a service worker answers after a redirect, at times for one that it overlooked. */
  async #loads() {
    for (const event of ['framenavigated', 'load'] as const) {
      await new Promise<unknown>((resolve) => this.puppet.once(event, resolve))
    }
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
    return (await (await this.#background())?.evaluate(sourceOf(script, args))) as R
  }

  /** Ends it, as the browser does when it has been idle: the next event starts it anew. */
  async endBackground() {
    await (await this.#background())?.close()
  }

  async #background() {
    const target = await this.puppet.waitForTarget(
      (target) => target.type() === 'service_worker' && target.url().startsWith(this.extension),
      { timeout: PATIENCE },
    )
    return target.worker()
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

async function launch(program: string, { extension }: BrowserOptions): Promise<Chromium> {
  const browser = await puppeteer.launch({
    executablePath: program,
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
      '--host-resolver-rules=MAP plain.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost',
      // Caddy's are of its own making.
      '--ignore-certificate-errors',
    ],
  })
  return new Chromium(browser, extension ? `chrome-extension://${await browser.installExtension(extension)}/` : '')
}
