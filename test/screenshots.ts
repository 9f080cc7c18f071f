/**
 * `bun run screenshots`: the pictures that README shows, of the real page and the real popup, driven in Chromium.
 * `bun run screenshots FOLDER [WORD …]`: every picture that there is, or those whose name has all the words.
 *
 * A name is `SIZE-STATE-LANGUAGE-SCHEME`, such as `popup-written-ko-light`. Every run shows the same codes and times.
 */
import { Database } from 'bun:sqlite'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import puppeteer, { type Page } from 'puppeteer-core'
import { buildExtension } from '../build.ts'
import { openStore } from '../db/open.ts'
import { sealTo } from '../extension/hpke.ts'
import { createApp } from '../index.ts'
import { readSettings } from '../settings.ts'

const root = join(import.meta.dir, '..')

/** Widths and heights. A popup is as high as what is in it, and browsers let none be higher. */
const SIZES = {
  page: [1280, 800],
  phone: [390, 844],
  narrow: [320, 640],
  popup: [400, 600],
} as const

const LANGUAGES = readdirSync(join(root, 'extension/_locales')).map((name) => name.replace('_', '-'))
const SCHEMES = ['light', 'dark']

/** In the order in which they are lent. */
const CODES = ['gRaN', 'NuBe', 'tWiG', 'PaLm', 'mOsS']
const TEXT =
  'The train leaves at 9:40 from platform 4.\n안녕하세요 · こんにちは · 你好\nhttps://www.example.com/seat?car=7'
const PASSWORD = 'heron'
/** The public key of one who waits. */
const RECEIVER = 'Xu-cJ210PHEvL2z994ZYENWwNhQdWQCJBxdwcCHBBh0'

/** What a person has done when the picture is taken. */
const STATES: Record<string, (page: Page) => Promise<unknown>> = {
  empty: async () => {},
  typing: (page) => type(page, '#write-text', TEXT),
  written: (page) => write(page),
  protected: (page) => write(page, { password: PASSWORD, once: true }),
  async list(page) {
    for (const traits of [{}, { expiresIn: 600 }, { password: PASSWORD }, { once: true }, { expiresIn: 604_800 }]) {
      await write(page, traits)
      await press(page, '#write-another')
    }
  },
  async suggested(page) {
    await type(page, '#write-text', TEXT)
    await page.focus('#write-password')
    await press(page, '#suggest-password')
    await told(page, 'suggested')
    // The same in every picture.
    await page.$eval('#write-password', (field) => {
      ;(field as HTMLInputElement).value = 'kamasotohiponuya'
    })
  },
  asked: (page) => load(page, { password: PASSWORD }),
  async wrong(page) {
    await load(page, { password: PASSWORD })
    await type(page, '#load-password', 'hern')
    await press(page, '#load-submit')
    await told(page, 'error_wrong_password')
  },
  loaded: (page) => load(page),
  taken: (page) => load(page, { once: true }),
  async missing(page) {
    await ask(page)
    await told(page, 'error_not_found')
  },
  receiving: (page) => receive(page),
  async received(page) {
    await receive(page)
    const { publicKey } = (await api('load', { code: CODES[0] })).error
    const [code = ''] = CODES
    await api('write', { to: code, ...(await sealTo(publicKey, code, TEXT)) })
    await shown(page, '#loaded-text')
  },
  async plain(page) {
    await receive(page)
    await api('write', { to: CODES[0], text: TEXT })
    await shown(page, '#loaded-text')
  },
  async addressed(page) {
    await address(page)
    await type(page, '#write-text', TEXT)
    await shown(page, '#to-seal')
  },
  async sent(page) {
    await address(page)
    await type(page, '#write-text', TEXT)
    await press(page, '#write-submit')
    await shown(page, '#written-code')
  },
  async offered(page) {
    await api('receive', {})
    await press(page, '#load-tab')
    await press(page, '#load-code')
    await page.keyboard.type(CODES[0] as string)
    await told(page, 'error_receiving')
  },
  async receipt(page) {
    await write(page)
    await api('load', { code: CODES[0] })
    await shown(page, '#written-receipt')
  },
  async fates(page) {
    for (const traits of [{}, { once: true }, { expiresIn: 604_800 }]) {
      await write(page, traits)
      await press(page, '#write-another')
    }
    for (const code of CODES.slice(0, 2)) await api('load', { code })
    await shown(page, '#history li:nth-last-child(1) .receipt')
    await shown(page, '#history .gone .receipt')
  },
  async offline(page) {
    await type(page, '#write-text', TEXT)
    await page.setOfflineMode(true)
    await told(page, 'error_offline')
  },
}

interface Traits {
  expiresIn?: number
  password?: string
  once?: boolean
}

async function write(page: Page, { expiresIn = 3600, password, once }: Traits = {}) {
  await type(page, '#write-text', TEXT)
  await page.select('#write-expiry', String(expiresIn))
  if (password) await type(page, '#write-password', password)
  if (once) await press(page, '#write-once')
  await press(page, '#write-submit')
  await shown(page, '#written-code')
}

/** What another computer asks of the server. */
async function api(route: string, body: unknown) {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return (await app.handle(new Request(`${SITE}/api/${route}`, request))).json()
}

async function receive(page: Page) {
  await press(page, '#load-tab')
  await press(page, '#receive-start')
  await page.waitForFunction(() => document.querySelector('#receive-seal span')?.textContent)
}

/** Follows the link of one who waits. */
async function address(page: Page) {
  await api('receive', { publicKey: RECEIVER })
  await page.evaluate((code) => {
    location.hash = `>${code}`
  }, CODES[0] as string)
}

/** Asks for a text that another computer has written. */
async function load(page: Page, traits: Traits = {}) {
  await api('write', { text: TEXT, ...traits })
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

/** Takes one picture, in a new tab that remembers nothing. */
async function take([size, state, language, scheme]: Picture, url: string, path: string) {
  sqlite.run('DELETE FROM text')
  sqlite.run('DELETE FROM code')
  codes = [...CODES]
  app = createApp(store, settings) // It counts wrong passwords.

  const page = await browser.newPage()
  const [width, height] = SIZES[size]
  const isPhone = size === 'phone' || size === 'narrow'
  await page.setViewport({ width, height, isMobile: isPhone, hasTouch: isPhone })
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
  await page.goto(url)
  await page.evaluate(async () => {
    localStorage.clear()
    await globalThis.chrome?.storage?.local.clear()
    await globalThis.chrome?.storage?.session.clear()
  })
  await page.reload()
  await shown(page, ':root[data-ready] main')

  await STATES[state]?.(page)
  await page.mouse.move(0, 0)
  const contentHeight = await page.evaluate(() => {
    const noCaret = new CSSStyleSheet() // It blinks.
    noCaret.replaceSync('* { caret-color: transparent !important }')
    document.adoptedStyleSheets.push(noCaret)
    return document.documentElement.offsetHeight
  })
  if (size === 'popup') await page.setViewport({ width, height: Math.min(height, contentHeight) })
  await Bun.write(path, await page.screenshot())
  await page.close()
}

type Picture = [size: keyof typeof SIZES, state: string, language: string, scheme: string]

const nameOf = (picture: Picture) => `${picture.join('-')}.png`

const pictures = (Object.keys(SIZES) as Picture[0][]).flatMap((size) =>
  Object.keys(STATES).flatMap((state) =>
    LANGUAGES.flatMap((language) => SCHEMES.map((scheme): Picture => [size, state, language, scheme])),
  ),
)

const [folder, ...words] = process.argv.slice(2)
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const out = folder ?? join(root, 'extension/screenshots')
const chosen = pictures.filter((picture) =>
  folder === undefined ? readme.includes(`/${nameOf(picture)}`) : words.every((word) => picture.includes(word)),
)

/** Where the browser believes the server to be. */
const SITE = 'http://www.extextcloud.com'
const home = mkdtempSync(join(tmpdir(), 'extextcloud-screenshots-'))
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
try {
  await buildExtension('chromium', join(home, 'extension'), SITE)
  const popup = `chrome-extension://${await browser.installExtension(join(home, 'extension'))}/popup.html`
  mkdirSync(out, { recursive: true })
  for (const picture of chosen) {
    const path = join(out, nameOf(picture))
    await take(picture, picture[0] === 'popup' ? popup : SITE, path)
    console.log(relative('.', path))
  }
} finally {
  await browser.close()
  await server.stop(true)
  await filled.close()
  sqlite.close()
  rmSync(home, { recursive: true })
}
