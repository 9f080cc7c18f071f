/// <reference lib="webworker" />
/** The web page's service worker: the page opens without a network too, and what a phone shares never passes the server. */
import { LANGUAGES, messagesPath } from './languages.ts'

declare const self: ServiceWorkerGlobalScope

const SHELL = 'shell'
const SHARED = 'shared'
const MESSAGES = Object.keys(LANGUAGES)
  .filter((language) => language !== 'en')
  .map(messagesPath)

self.addEventListener('install', (event) => {
  event.waitUntil(
    self
      .skipWaiting()
      .then(() => fetch('/'))
      .then(keepPage),
  )
})

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))

self.addEventListener('message', (event) => event.waitUntil(handOver(event.source as Client)))

self.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (origin !== self.location.origin) return
  if (pathname === '/share' && request.method === 'POST') event.respondWith(takeShared(request))
  else if (pathname === '/' && request.mode === 'navigate') event.respondWith(openPage(event))
  else if (MESSAGES.includes(pathname)) event.respondWith(openMessages(request))
  else if (pathname.startsWith('/assets/')) event.respondWith(openAsset(request))
})

/** The newest page where there is a network, else the last one. */
async function openPage(event: FetchEvent): Promise<Response> {
  let page: Response
  try {
    // Asked anew: what another site's link began would be taken for that site's own request, and refused.
    page = await fetch('/', { redirect: 'manual' })
  } catch (error) {
    const last = await caches.match('/', { ignoreVary: true })
    if (last) return last
    throw error
  }
  // A cache that is full, or slow, is no reason to withhold the page.
  event.waitUntil(keepPage(page.clone()).catch(() => {}))
  return page
}

/** As the page, by an address that stays the same. */
const openMessages = (request: Request) =>
  fetch(request).catch(async (error) => (await caches.match(request, { ignoreVary: true })) ?? Promise.reject(error))

/** The names of assets change with their content, so the first answer is the last, whatever else was asked in its request. */
const openAsset = async (request: Request) => (await caches.match(request, { ignoreVary: true })) ?? fetch(request)

/** Keeps a page with all that it names, and forgets what the one before it named. */
async function keepPage(page: Response) {
  if (!page.ok) return
  const named = (await page.clone().text()).matchAll(/"(\/assets\/[^"]+)"/g)
  const names = [...new Set([...named].flatMap(([, name]) => name ?? [])), ...MESSAGES]
  const shell = await caches.open(SHELL)
  const keptNames = (await shell.keys()).map(({ url }) => new URL(url).pathname)
  await shell.addAll(names.filter((name) => MESSAGES.includes(name) || !keptNames.includes(name)))
  await shell.put('/', page)
  for (const name of keptNames) if (name !== '/' && !names.includes(name)) await shell.delete(name)
}

/** Keeps what was shared for the page that opens next: in an address it would stay in the browser's history. */
async function takeShared(request: Request): Promise<Response> {
  try {
    const form = await request.formData()
    const parts = ['title', 'text', 'url'].map((name) => String(form.get(name) ?? '').trim()).filter(Boolean)
    // Many apps name the same twice, such as an address as text and as URL.
    const text = parts.filter(
      (part, place) => !parts.some((other, at) => other.includes(part) && (other !== part || at < place)),
    )
    // Not in a variable: the browser may stop this worker before the page asks.
    await (await caches.open(SHARED)).put('/share', new Response(text.join('\n')))
    return Response.redirect('/', 303)
  } catch {
    return Response.redirect('/#share-lost', 303)
  }
}

/** Hands what was shared over, once, to a page that asks for it. */
async function handOver(page: Client) {
  const shared = await caches.match('/share', { cacheName: SHARED })
  const text = await shared?.text()
  // Of several pages that ask at once, one deletes it.
  if (text && (await caches.delete(SHARED))) page.postMessage(text)
}
