/** What the pages of other sites can make real browsers ask, over http on this machine and over https through real Caddy. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { createApp } from '../index.ts'
import { createWatch } from '../watch.ts'
import type { Browser, Kind } from './support/browsers.ts'
import { isMissing, startCaddy } from './support/caddy.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import { builtExtension } from './support/homes.ts'
import { poll } from './support/poll.ts'
import { testSettings, testStore } from './support/support.ts'

/**
 * Everything that a page can send without its visitor: each names itself in its address, as a code of four letters or, where it
 * writes, as a query.
 */
function attack(server: string) {
  const add = (tag: string, more: Record<string, string>, into: Element = document.body) => {
    const element = document.createElement(tag)
    for (const [name, value] of Object.entries(more)) element.setAttribute(name, value)
    into.append(element)
    return element
  }
  const ignore = () => {}
  const at = (code: string) => `${server}/${code}`

  add('img', { src: at('imgA') })
  add('script', { src: at('scrA') })
  add('script', { src: at('modA'), type: 'module', crossorigin: '' })
  add('link', { rel: 'stylesheet', href: at('cssA') })
  add('div', { style: `width: 9px; height: 9px; background: url(${at('bgrA')})` })
  add('video', { src: at('vidA'), preload: 'auto' })
  add('iframe', { src: at('ifrA') })
  add('object', { data: at('objA') })
  add('embed', { src: at('embA') })
  add('link', { rel: 'prefetch', href: at('preA') })
  add('link', { rel: 'preload', as: 'fetch', href: at('preB') })
  const rules = JSON.stringify({ prefetch: [{ urls: [at('speC')] }] })
  document.body.append(
    Object.assign(document.createElement('script'), { type: 'speculationrules', textContent: rules }),
  )

  fetch(at('fetA'), { mode: 'no-cors' }).catch(ignore)
  fetch(at('fetB')).catch(ignore)
  fetch(at('fetC'), { method: 'POST', mode: 'no-cors' }).catch(ignore)
  fetch(`${server}/?fetD`, { method: 'POST', mode: 'no-cors', body: 'written' }).catch(ignore)
  fetch(`${server}/?fetE`, { method: 'POST', body: 'written' }).catch(ignore)
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
  fetch(`${server}/api/write?jsoA`, { ...json, body: '{"text":"written"}' }).catch(ignore)
  fetch(`${server}/api/load?jsoB`, { ...json, mode: 'no-cors', body: '{"code":"abcd"}' }).catch(ignore)
  navigator.sendBeacon(`${server}/?beaA`, 'written')

  for (const [name, action, method] of [
    ['a', `${server}/?forA`, 'POST'],
    ['b', at('forB'), 'POST'],
    ['c', at('forC'), 'GET'],
    ['d', `${server}/share?forD`, 'POST'],
  ] as const) {
    add('iframe', { name })
    const form = add('form', { action, method, enctype: 'text/plain', target: name })
    add('input', { name: 'text', value: 'written' }, form)
    ;(form as HTMLFormElement).submit()
  }

  const socket = new WebSocket(at('webA').replace(/^http/, 'ws'))
  socket.onerror = ignore
  const source = new EventSource(at('eveA'))
  source.onerror = () => source.close()
  const worker = `fetch('${at('worA')}', { mode: 'no-cors' }).catch(() => {}); importScripts('${at('worB')}')`
  new Worker(URL.createObjectURL(new Blob([worker]))).onerror = ignore
  add('iframe', { sandbox: 'allow-scripts', srcdoc: `<img src="${at('sanA')}">` })
  navigator.serviceWorker?.register(`/worker.js?${encodeURIComponent(at('serA'))}`).catch(ignore)
}

/** What both browsers certainly send, over either protocol. */
const SENT =
  'imgA scrA modA cssA bgrA vidA ifrA objA embA preA preB fetA fetB fetC fetD fetE jsoA jsoB beaA forA forB forC forD webA eveA worA worB sanA serA linA repA'.split(
    ' ',
  )

/** Another site's server: a page whose headers attack the server in its query, and a service worker that does. */
const startForeign = () =>
  Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch({ url }) {
      const { pathname, search } = new URL(url)
      const attacked = decodeURIComponent(search.slice(1))
      if (pathname === '/worker.js') {
        const headers = { 'content-type': 'text/javascript' }
        return new Response(`fetch(${JSON.stringify(attacked)}, { mode: 'no-cors' })`, { headers })
      }
      return new Response('<!doctype html><title>foreign</title><body>', {
        headers: {
          'content-type': 'text/html',
          link: `<${attacked}/linA>; rel=preload; as=image`,
          'content-security-policy-report-only': `img-src 'none'; report-uri ${attacked}/repA`,
        },
      })
    },
  })

/** Ends what a test has started. */
const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** A server that gives a visitor one miss, one write and a few requests, and hears which requests were refused as foreign. */
async function startServer(env: Record<string, string>) {
  const settings = testSettings({
    MISSES_PER_HOUR: '1',
    WRITES_PER_MINUTE: '2',
    REQUESTS_PER_MINUTE: '6',
    CLIENT_IP_HEADER: '',
    ...env,
  })
  const stored = await testStore()
  const refused = new Map<string, string>()
  const clock = { ahead: 0 }
  const watch = createWatch(stored.store, settings)
  const app = createApp(stored.store, settings, () => Date.now() + clock.ahead, {
    ...watch,
    refused: ({ url }, reason) => refused.set(/[a-z]{3}[A-E](?=$|\?text)/.exec(url)?.[0] ?? url, reason),
  }).listen({ port: 0, hostname: '127.0.0.1' })
  stops.push(async () => {
    await app.stop(true)
    await stored[Symbol.asyncDispose]()
  })
  return {
    query: stored.query,
    refused,
    url: `http://127.0.0.1:${app.server?.port}`,
    /** Forgets what was counted and refused. */
    forget() {
      clock.ahead += 24 * 3_600_000
      refused.clear()
    },
  }
}

type Server = Awaited<ReturnType<typeof startServer>>

/** The page at `origin` attacks, and finds its visitor's limits as they were; then he uses the server's own page. */
async function expectNothing(browser: Browser, server: Server, url: string, origin: string) {
  server.forget()
  const page = await browser.open(`${origin}/?${encodeURIComponent(url)}`)
  await page.evaluate(attack, url)
  await poll('all to be sent', async () => {
    const missing = SENT.filter((code) => !server.refused.has(code))
    if (missing.length > 0) throw new Error(`These did not arrive: ${missing}`)
    return true
  })
  for (const [code, reason] of server.refused) expect([code, reason]).toEqual([code, 'cross_site'])
  expect(server.query('SELECT code FROM text')).toEqual([])
  // A link leads to the page, with or without a code.
  await page.evaluate((url) => {
    const link = Object.assign(document.createElement('a'), { href: `${url}/aBcD` })
    document.body.append(link)
    link.click()
  }, url)
  await page.until('the code to be filled in', () => document.querySelector<HTMLInputElement>('#load-code')?.value)
  const statuses = await page.evaluate(async () => {
    const ask = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
      const text = await response.text()
      return { status: response.status, body: JSON.parse(text || '{}') as { code: string; eraseToken: string } }
    }
    const written = await ask('/api/write', { text: 'my own' })
    const { code, eraseToken } = written.body
    const erased = await ask('/api/erase', { code, eraseToken })
    const missed = await ask('/api/load', { code })
    for (const worker of await navigator.serviceWorker.getRegistrations()) await worker.unregister()
    return [written.status, erased.status, missed.status]
  })
  expect(statuses).toEqual([201, 204, 404])
  await page.close()
}

describe.each<Kind>([CHROMIUM, FIREFOX])('$title', (kind) => {
  let browser: Browser
  let foreign: ReturnType<typeof startForeign>
  beforeAll(async () => {
    if (kind.isSkipped) return
    foreign = startForeign()
    browser = await kind.launch({ extension: await builtExtension(kind) })
  })
  afterAll(async () => {
    await browser?.close()
    await foreign?.stop(true)
  })

  test.skipIf(kind.isSkipped)('over http a page of another site or port spends, writes and reads nothing', async () => {
    const server = await startServer({})
    for (const host of ['localhost', '127.0.0.1']) {
      await expectNothing(browser, server, server.url, `http://${host}:${foreign.port}`)
    }
  })

  test.skipIf(kind.isSkipped || isMissing)(
    'over https neither does one of another site or a sibling’s name',
    async () => {
      const server = await startServer({ CLIENT_IP_HEADER: 'X-Forwarded-For' })
      const [sibling, other] = ['other.texts.localhost', 'evil.localhost']
      const sites = `${sibling}, ${other} {\n\treverse_proxy 127.0.0.1:${foreign.port}\n}\n`
      const caddy = await startCaddy('texts.localhost', server.url, sites)
      stops.push(caddy.stop)
      for (const host of [sibling, other]) {
        await expectNothing(browser, server, caddy.url, `https://${host}:${caddy.https}`)
      }
    },
  )

  test.skipIf(kind.isSkipped)('the extension and a page of an admitted origin go on working', async () => {
    const friend = `http://localhost:${foreign.port}`
    const server = await startServer({ CORS_ORIGINS: friend, MISSES_PER_HOUR: '0', REQUESTS_PER_MINUTE: '0' })
    for (const address of [`${browser.extension}popup.html`, `${friend}/`]) {
      const page = await browser.open(address)
      const [erased, missed] = await page.evaluate(async (url) => {
        const headers = { 'content-type': 'application/json' }
        const ask = (path: string, body: string) => fetch(url + path, { method: 'POST', headers, body })
        const written = await (await ask('/api/write', '{"text":"a friend’s"}')).text()
        const { code, eraseToken } = JSON.parse(written) as { code: string; eraseToken: string }
        return [
          (await ask('/api/erase', JSON.stringify({ code, eraseToken }))).status,
          (await ask('/api/load', JSON.stringify({ code }))).status,
        ]
      }, server.url)
      expect([address, erased, missed]).toEqual([address, 204, 404])
      await page.close()
    }
  })
})
