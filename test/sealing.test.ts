/** Sealing in real browsers, in every place that does it: the page, the extension's pages, its background. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { buildExtension } from '../build.ts'
import type { SealError } from '../extension/pack.ts'
import type { Sealed, Unlocked } from '../extension/seal.ts'
import fixture from './fixtures/seal-vectors.json' with { type: 'json' }
import type { Browser, Kind, Page } from './support/browsers.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import { isReady } from './support/homes.ts'
import { temporaryPath, testApp } from './support/support.ts'

/** What the bundle of `sealBundle` leaves where it runs. */
declare const sealing: {
  seal(text: string, password: string, once: boolean): Promise<Sealed>
  unlock(password: string, seal: string): Promise<Unlocked>
}

/** `seal.ts` as the builds have it, within a test's reach. */
async function sealBundle(build: 'page' | 'chromium' | 'firefox'): Promise<string> {
  const entry = `${temporaryPath('sealing')}.ts`
  const source = JSON.stringify(join(import.meta.dir, '../extension/seal.ts'))
  await Bun.write(
    entry,
    `import { seal, unlock } from ${source}\nObject.assign(globalThis, { sealing: { seal, unlock } })`,
  )
  const { outputs } = await Bun.build({
    entrypoints: [entry],
    define: { BROWSER: JSON.stringify(build) },
    minify: { syntax: true },
  })
  return (await outputs[0]?.text()) ?? ''
}

/** The real page, with `sealing.js` among its assets, and what it was asked for. */
async function startServer() {
  const service = await testApp()
  const bundle = await sealBundle('page')
  const paths: string[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const { pathname } = new URL(request.url)
      paths.push(pathname)
      if (pathname !== '/assets/sealing.js') return service.app.handle(request)
      return new Response(bundle, { headers: { 'content-type': 'text/javascript' } })
    },
  })
  return {
    url: server.url.href,
    paths,
    async [Symbol.asyncDispose]() {
      await server.stop(true)
      await service[Symbol.asyncDispose]()
    },
  }
}

/** A browser with the real extension, in which `sealing.js` is one more file, and the background has run it. */
async function launch<B extends Browser>({ name, launch }: Kind<B>): Promise<B> {
  const folder = temporaryPath(name)
  await buildExtension(name, folder, 'https://server.invalid')
  await Bun.write(join(folder, 'sealing.js'), await sealBundle(name))
  const background = Bun.file(join(folder, 'background.js'))
  await background.write(`import './sealing.js'\n${await background.text()}`)
  return launch({ extension: folder })
}

/** Opens `url`, and brings `sealing` there from `script`, as the content security policy allows. */
async function openWithSealing(browser: Browser, url: string, script: string): Promise<Page> {
  const page = await browser.open(url)
  await isReady(page)
  await page.evaluate((src) => {
    document.head.append(Object.assign(document.createElement('script'), { type: 'module', src }))
  }, script)
  await page.until('sealing to be there', () => 'sealing' in globalThis)
  return page
}

/** Where texts are sealed and opened. */
type Place = { name: string } & Pick<Page, 'evaluate'>

const sealIn = ({ evaluate }: Place, text: string, password: string, once: boolean) =>
  evaluate((...args) => sealing.seal(...args), text, password, once)

/** What was opened, or why it was not. */
const openIn = ({ evaluate }: Place, password: string, seal: string, text: string, once: boolean) =>
  evaluate(
    async (password, seal, text, once) => {
      try {
        const { auth, open } = await sealing.unlock(password, seal)
        return { auth, text: await open(text, once) }
      } catch (error) {
        return { reason: (error as SealError).reason }
      }
    },
    password,
    seal,
    text,
    once,
  )

describe.skipIf(CHROMIUM.isSkipped || FIREFOX.isSkipped)('between Chromium and Firefox', () => {
  let server: Awaited<ReturnType<typeof startServer>>
  let chromium: Awaited<ReturnType<typeof CHROMIUM.launch>>
  let firefox: Awaited<ReturnType<typeof FIREFOX.launch>>

  beforeAll(async () => {
    ;[server, chromium, firefox] = await Promise.all([startServer(), launch(CHROMIUM), launch(FIREFOX)])
  })
  afterEach(async () => {
    for (const browser of [chromium, firefox]) {
      expect(await browser.problems()).toEqual([])
      await browser.closePages()
    }
  })
  afterAll(async () => {
    await Promise.all([chromium?.close(), firefox?.close()])
    await server?.[Symbol.asyncDispose]()
  })

  const openPage = async (browser: Browser) => openWithSealing(browser, server.url, '/assets/sealing.js')
  const openExtension = (browser: Browser) => openWithSealing(browser, `${browser.extension}popup.html`, '/sealing.js')

  const place = (name: string, page: Page): Place => ({ name, evaluate: page.evaluate.bind(page) as Page['evaluate'] })

  test('what one seals, each of the others opens', async () => {
    const all = [
      place('page in Chromium', await openPage(chromium)),
      place('page in Firefox', await openPage(firefox)),
      place('extension in Chromium', await openExtension(chromium)),
      place('extension in Firefox', await openExtension(firefox)),
      { name: 'background in Chromium', evaluate: chromium.inBackground.bind(chromium) as Page['evaluate'] },
    ]
    for (const [i, writer] of all.entries()) {
      const text = `from the ${writer.name}: \0 🧵 \r\n ${'again and again '.repeat(i * 20)}`
      const once = i % 2 === 0
      const { seal, text: sealed, auth } = await sealIn(writer, text, 'p\u00e4ss', once)
      for (const reader of all) {
        const from = `${writer.name} to ${reader.name}`
        const opened = await openIn(reader, 'pa\u0308ss', seal, sealed, once)
        expect([from, opened]).toEqual([from, { auth, text }])
        if (reader !== writer) continue
        expect(await openIn(reader, 'wrong', seal, sealed, once)).toEqual({ reason: 'tampered' })
      }
    }
  })

  test('a text of 1 MiB that cannot be compressed goes from one to the other', async () => {
    const text = crypto.getRandomValues(new Uint8Array(786_432)).toBase64()
    for (const [writer, reader] of [
      [chromium, firefox],
      [firefox, chromium],
    ] as const) {
      const [from, to] = [await openPage(writer), await openPage(reader)]
      const sealed = await from.evaluate((text) => sealing.seal(text, 'p', true), text)
      const opened = await to.evaluate(
        async (seal, text) => (await sealing.unlock('p', seal)).open(text, true),
        sealed.seal,
        sealed.text,
      )
      expect(opened === text).toBe(true)
    }
  })

  test('each opens what another implementation sealed, and refuses what is no text', async () => {
    const opened = fixture.vectors.map((vector) => ({
      ...vector,
      opens: { auth: vector.auth, text: vector.opens.repeat(vector.times) },
    }))
    const refused = fixture.broken.map((vector) => ({ ...vector, opens: { reason: 'content' } }))
    for (const browser of [chromium, firefox]) {
      const page = place('page', await openPage(browser))
      for (const { name, password, seal, text, once, opens } of [...opened, ...refused]) {
        const found = await openIn(page, password, seal, text, once)
        expect([name, Bun.deepEquals(found, opens)]).toEqual([name, true])
      }
    }
  })

  test('the page asks for Argon2 with the first password, and goes on while it computes', async () => {
    for (const browser of [chromium, firefox]) {
      server.paths.length = 0
      const page = await openPage(browser)
      expect(server.paths).not.toContain('/assets/argon2.js')
      for (const home of [page, await openExtension(browser)]) expect(await ticksMeanwhile(home)).toBeGreaterThan(10)
      expect(server.paths).toContain('/assets/argon2.js')
    }
  })
})

/** How often a timer of 10 ms gets its turn while a password is derived: about a second's work. */
const ticksMeanwhile = (page: Page) =>
  page.evaluate(async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 10)
    await sealing.unlock('p', '1.argon2id.m=131072,t=4,p=1.AAAAAAAAAAAAAAAAAAAAAA')
    clearInterval(timer)
    return ticks
  })
