/** The client's homes, the web page and the extension, in each browser; and what a person does there. */
import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { buildExtension } from '../../build.ts'
import type messages from '../../extension/_locales/en/messages.json'
import type { Browser, Kind, Page } from './browsers.ts'
import type { TestServer } from './server.ts'
import { temporaryPath } from './support.ts'

/** Tests that share one browser, with the extension in it. After each, nothing may have gone wrong in its pages. */
export function describeIn<B extends Browser>(kind: Kind<B>, tests: (browser: () => B) => void) {
  describe.skipIf(kind.isSkipped)(kind.title, () => {
    let browser: B
    beforeAll(async () => {
      browser = await kind.launch({ extension: await builtExtension(kind) })
    })
    afterEach(async () => {
      const problems = await browser.problems()
      await browser.closePages()
      expect(problems).toEqual([])
    })
    afterAll(() => browser?.close())
    tests(() => browser)
  })
}

/** Opens the client, with nothing remembered from before, for `server`; `at` is the end of the page's address. */
export async function openPage(browser: Browser, server: TestServer, at = ''): Promise<Page> {
  const page = await browser.open(`${server.url}/robots.txt`)
  await page.evaluate(() => localStorage.clear())
  await page.goto(`${server.url}/${at}`)
  await isReady(page)
  // Otherwise a test that stops the server may do so while the browser still fetches the worker.
  await page.evaluate(async () => void (await navigator.serviceWorker.ready))
  return page
}

/** Opens the extension's popup as a page, with nothing remembered from before, for `server`. */
export async function openExtension(browser: Browser, server: TestServer): Promise<Page> {
  const page = await forgetAll(browser, server)
  await page.goto(`${browser.extension}popup.html`)
  await isReady(page)
  return page
}

/** Leaves nothing remembered in the extension but that it is for `server`; returns its page of options. */
export async function forgetAll(browser: Browser, server: TestServer): Promise<Page> {
  // Not in the popup, which would write down a receipt that it asked for before all was forgotten.
  const page = await browser.open(`${browser.extension}options.html`)
  await isReady(page)
  await page.evaluate(async (server) => {
    await chrome.storage.session.clear()
    await chrome.storage.local.clear()
    await chrome.storage.local.set({ server })
  }, server.url)
  return page
}

export const isReady = (page: Page) =>
  page.until('the client to be ready', () => document.documentElement.dataset.ready !== undefined)

/** Writes `text` as a person does; returns its code. */
export async function write(
  page: Page,
  text: string,
  { expiresIn, password, once }: { expiresIn?: number; password?: string; once?: boolean } = {},
): Promise<string> {
  await page.click('#write-tab')
  await page.fill('#write-text', text)
  if (expiresIn) await page.choose('#write-expiry', String(expiresIn))
  if (password) await page.type(password, '#write-password')
  if (once) await page.click('#write-once')
  await page.click('#write-submit')
  return writtenCode(page)
}

export const writtenCode = async (page: Page) =>
  (await page.says('#written-code', /^(\s*[A-Za-z]\s*){4}$/)).replace(/\s/g, '')

/** Asks for the text under `code`. */
export async function askFor(page: Page, code: string) {
  await page.click('#load-tab')
  await page.type(code, '#load-code')
  await page.click('#load-submit')
}

/** Waits until the status line says the message `key`; returns the sentence. */
export async function tells(page: Page, key: keyof typeof messages): Promise<string> {
  await page.until(
    `the message ${key}`,
    (key) => document.querySelector<HTMLElement>('#message')?.dataset.say === key,
    key,
  )
  return page.text('#message')
}

/** Loads the text under `code` as a person does, and returns it, byte for byte. */
export async function load(page: Page, code: string, password?: string): Promise<string> {
  await askFor(page, code)
  if (password) {
    await page.type(password, '#load-password')
    await page.click('#load-submit')
  }
  return loadedText(page)
}

export async function loadedText(page: Page): Promise<string> {
  await page.sees('#loaded-text')
  return page.evaluate(() => document.querySelector('#loaded-text')?.textContent ?? '')
}

const built = new Map<Kind, Promise<string>>()

/** The folder of the extension for a browser, built once per test run. */
export function builtExtension(kind: Kind): Promise<string> {
  const before = built.get(kind)
  if (before) return before
  const folder = temporaryPath(kind.name)
  const building = buildExtension(kind.name, folder, 'https://server.invalid').then(() => folder)
  built.set(kind, building)
  return building
}
