/** The real page and the real popup in Chromium, driven into any of their states and photographed: the same codes and times in every run. */
import { Database } from 'bun:sqlite'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import puppeteer, { type Page } from 'puppeteer-core'
import { buildExtension } from '../../build.ts'
import { openStore } from '../../db/open.ts'
import { createApp } from '../../index.ts'
import { readSettings } from '../../settings.ts'

/** Widths and heights. A popup is as high as what is in it, and browsers let none be higher. */
export const SIZES = {
  page: [1280, 800],
  phone: [390, 844],
  narrow: [320, 640],
  popup: [400, 600],
} as const

/** In the order in which they are lent. */
const CODES = ['gRaN', 'NuBe', 'tWiG', 'PaLm', 'mOsS']
const TEXT =
  'The train leaves at 9:40 from platform 4.\n안녕하세요 · こんにちは · 你好\nhttps://www.example.com/seat?car=7'
const PASSWORD = 'heron'

/** Where the browser believes the server to be. */
const SITE = 'http://www.extextcloud.com'

/** The page or the popup, and the text that is written or loaded there. */
interface Scene {
  page: Page
  text: string
  /** What another computer asks of the server; returns its answer. */
  api(route: string, body: object): Promise<unknown>
}

/** What a person has done when the picture is taken. */
export const STATES: Record<string, (scene: Scene) => Promise<unknown>> = {
  empty: async () => {},
  typing: ({ page, text }) => type(page, '#write-text', text),
  written: (scene) => write(scene),
  protected: (scene) => write(scene, { password: PASSWORD, once: true }),
  async list(scene) {
    for (const traits of [{}, { expiresIn: 600 }, { password: PASSWORD }, { once: true }, { expiresIn: 604_800 }]) {
      await write(scene, traits)
      await press(scene.page, '#write-another')
    }
  },
  async sealing({ page, text }) {
    await type(page, '#write-text', text)
    await type(page, '#write-password', PASSWORD)
  },
  async suggested({ page, text }) {
    await type(page, '#write-text', text)
    await page.focus('#write-password')
    await press(page, '#suggest-password')
    await told(page, 'suggested')
    // The same in every picture.
    await page.$eval('#write-password', (field) => {
      ;(field as HTMLInputElement).value = 'kamasotohiponuya'
    })
  },
  asked: (scene) => load(scene, { password: PASSWORD }),
  async wrong(scene) {
    await load(scene, { password: PASSWORD })
    await type(scene.page, '#load-password', 'hern')
    await press(scene.page, '#load-submit')
    await told(scene.page, 'error_wrong_password')
  },
  loaded: (scene) => load(scene),
  taken: (scene) => load(scene, { once: true }),
  async missing({ page }) {
    await ask(page)
    await told(page, 'error_not_found')
  },
  async offline({ page, text }) {
    await type(page, '#write-text', text)
    await page.setOfflineMode(true)
    await told(page, 'error_offline')
  },
}

interface Traits {
  expiresIn?: number
  password?: string
  once?: boolean
}

async function write({ page, text }: Scene, { expiresIn = 3600, password, once }: Traits = {}) {
  await type(page, '#write-text', text)
  await page.select('#write-expiry', String(expiresIn))
  if (password) await type(page, '#write-password', password)
  if (once) await press(page, '#write-once')
  await press(page, '#write-submit')
  await shown(page, '#written-code')
}

/** Asks for a text that another computer has written. */
async function load({ page, text, api }: Scene, traits: Traits = {}) {
  await api('write', { text, ...traits })
  await ask(page)
  await (traits.password ? told(page, 'error_not_sealed') : shown(page, '#loaded-text'))
}

/** Follows the link with the first code. */
async function ask(page: Page) {
  await page.evaluate((code) => {
    location.hash = code
  }, CODES[0] as string)
  await press(page, '#load-submit')
}

const shown = (page: Page, selector: string) => page.waitForSelector(selector, { visible: true })

/** Waits until the status line says the message `key`, in whatever language. */
const told = (page: Page, key: string) => shown(page, `#message[data-say="${key}"]`)

async function press(page: Page, selector: string) {
  await shown(page, selector)
  await page.click(selector)
}

async function type(page: Page, selector: string, text: string) {
  await press(page, selector)
  await page.keyboard.sendCharacter(text)
}

export type Picture = [size: keyof typeof SIZES, state: string, language: string, scheme: string]

export type Stage = Awaited<ReturnType<typeof openStage>>

/** What makes `font` the one that a browser takes for the system's own. */
const fontconfig = (font: string) => {
  const families = ['system-ui', 'sans-serif', 'sans'].map(
    (family) =>
      `<match><test name="family"><string>${family}</string></test><edit name="family" mode="prepend" binding="strong"><string>${font}</string></edit></match>`,
  )
  return `<?xml version="1.0"?><fontconfig><include>/etc/fonts/fonts.conf</include>${families.join('')}</fontconfig>`
}

/** A server, and Chromium with the extension; closed when it goes out of scope. `font` is to be the system's own. */
export async function openStage({ font }: { font?: string } = {}) {
  const home = mkdtempSync(join(tmpdir(), 'extextcloud-stage-'))
  const fonts = join(home, 'fonts.conf')
  if (font) await Bun.write(fonts, fontconfig(font))
  const databasePath = join(home, 'texts.db')
  const filled = await openStore(databasePath, { codeRestSeconds: 0, maxTexts: 1e9, maxStoredBytes: 1e9 })
  const sqlite = new Database(databasePath)
  let codes: string[] = []
  /** Its pool has one code at a time: the next of `codes`. */
  const store: typeof filled = {
    ...filled,
    async write(added, now) {
      sqlite.run('INSERT INTO code (code) VALUES (?)', [codes.shift() ?? ''])
      return filled.write(added, now)
    },
  }
  const settings = readSettings({ REQUESTS_PER_MINUTE: '0', WRITES_PER_MINUTE: '0', MISSES_PER_HOUR: '0' })
  let app = createApp(store, settings)
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => app.handle(request) })
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? Bun.which('chromium') ?? Bun.which('google-chrome') ?? undefined,
    pipe: true,
    enableExtensions: true,
    env: { ...process.env, ...(font && { FONTCONFIG_FILE: fonts }) },
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--hide-scrollbars',
      '--disable-features=HttpsUpgrades',
      `--unsafely-treat-insecure-origin-as-secure=${SITE}`,
      // Nothing outside of this machine.
      `--host-resolver-rules=MAP ${new URL(SITE).host} ${server.url.host}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
    ],
  })
  await buildExtension('chromium', join(home, 'extension'), SITE)
  const popup = `chrome-extension://${await browser.installExtension(join(home, 'extension'))}/popup.html`

  async function api(route: string, body: object) {
    const headers = { 'content-type': 'application/json' }
    const asked = new Request(`${SITE}/api/${route}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return (await app.handle(asked)).json()
  }

  return {
    browser,

    /** Takes one picture, in a new tab that remembers nothing; returns it as PNG. `scale` is pixels per CSS pixel. */
    async take([size, state, language, scheme]: Picture, { text = TEXT, scale = 1 } = {}): Promise<Uint8Array> {
      sqlite.run('DELETE FROM text')
      sqlite.run('DELETE FROM code')
      codes = [...CODES]
      app = createApp(store, settings) // It counts wrong passwords.

      const page = await browser.newPage()
      const [width, height] = SIZES[size]
      const isPhone = size === 'phone' || size === 'narrow'
      const viewport = { width, isMobile: isPhone, hasTouch: isPhone, deviceScaleFactor: scale }
      await page.setViewport({ ...viewport, height })
      await page.emulateMediaFeatures([
        { name: 'prefers-color-scheme', value: scheme },
        { name: 'prefers-reduced-motion', value: 'reduce' },
      ])
      const session = await page.createCDPSession()
      const userAgent = await browser.userAgent()
      await session.send('Emulation.setUserAgentOverride', { userAgent, acceptLanguage: language })
      // Its clock stands still, or the time that is left would depend on the machine's speed.
      await page.evaluateOnNewDocument(() => {
        const now = Date.now()
        Date.now = () => now
      })
      await page.goto(size === 'popup' ? popup : SITE)
      await page.evaluate(async () => {
        localStorage.clear()
        await globalThis.chrome?.storage?.local.clear()
        await globalThis.chrome?.storage?.session.clear()
      })
      await page.reload()
      await shown(page, ':root[data-ready] main')

      await STATES[state]?.({ page, text, api })
      await page.mouse.move(0, 0)
      const contentHeight = await page.evaluate(() => {
        const noCaret = new CSSStyleSheet() // It blinks.
        noCaret.replaceSync('* { caret-color: transparent !important }')
        document.adoptedStyleSheets.push(noCaret)
        return document.documentElement.offsetHeight
      })
      if (size === 'popup') await page.setViewport({ ...viewport, height: Math.min(height, contentHeight) })
      const png = await page.screenshot()
      await page.close()
      return png
    },

    async [Symbol.asyncDispose]() {
      await browser.close()
      await server.stop(true)
      await filled.close()
      sqlite.close()
      rmSync(home, { recursive: true })
    },
  }
}
