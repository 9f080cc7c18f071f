/** The web page: every file of it, bundled from `extension/` when the server starts or is compiled, answered from memory. */
import { Elysia, redirect } from 'elysia'
import { bundlePage } from './build.ts' with { type: 'macro' }
import { Refusal } from './errors.ts'
import { languageOf, privacyPage } from './privacy.ts'
import type { Settings } from './settings.ts'

/** The page's own files and nothing else; a QR code is drawn in the page, so not even data: images. Argon2 is WebAssembly. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const etagOf = (body: string | Buffer) => `W/"${Bun.hash(body).toString(36)}"`

const files = bundlePage().map(({ body, gzip, ...file }) => ({
  ...file,
  etag: etagOf(body),
  body: Buffer.from(body, 'base64'),
  gzip: gzip === undefined ? undefined : Buffer.from(gzip, 'base64'),
}))

type File = (typeof files)[number]

interface Reply {
  status?: number | string
  headers: Record<string, string | number>
}

function answer({ type, etag, isHashed, body, gzip }: File, request: Request, set: Reply) {
  set.headers['content-type'] = type
  set.headers['content-security-policy'] = CONTENT_SECURITY_POLICY
  set.headers['cache-control'] = isHashed ? 'public, max-age=31536000, immutable' : 'no-cache'
  set.headers.etag = etag
  set.headers.vary = 'Origin, Accept-Encoding'
  const known = request.headers.get('if-none-match')
  if (known === '*' || known?.includes(etag)) {
    set.status = 304
    return
  }
  if (!gzip || !ACCEPTS_GZIP.test(request.headers.get('accept-encoding') ?? '')) return body
  set.headers['content-encoding'] = 'gzip'
  return gzip
}

/** Asks for gzip, and not with the weight 0, which declines it. */
const ACCEPTS_GZIP = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/

const page = files.find(({ path }) => path === '/') as File
const stylesheet = files.find(({ type }) => type.startsWith('text/css')) as File

/** The page with what it has to know of its server: the bytes of a text at most, and who runs it. */
function pageOf({ MAX_TEXT_BYTES, OPERATOR_NAME, OPERATOR_URL }: Settings): File {
  const operator = Bun.escapeHTML(OPERATOR_NAME ?? OPERATOR_URL ?? '')
  const link = `<a href="${Bun.escapeHTML(OPERATOR_URL ?? '')}" target="_blank" rel="noopener">${operator}</a>`
  const html = new HTMLRewriter()
    .on('html', { element: (html) => void html.setAttribute('data-max-text-bytes', String(MAX_TEXT_BYTES)) })
    .on('#operator', { element: (line) => void (operator && line.removeAttribute('hidden')) })
    .on('#operator-name', {
      element: (slot) => void slot.setInnerContent(OPERATOR_URL ? link : operator, { html: true }),
    })
    .transform(page.body.toString())
  return { ...page, body: Buffer.from(html), gzip: Buffer.from(Bun.gzipSync(html, { level: 9 })), etag: etagOf(html) }
}

/** The routes of the page and of all that it is made of. A request for another host is sent to `PUBLIC_URL`. */
export function createPage(settings: Settings) {
  const { PUBLIC_URL: publicUrl } = settings
  const page = pageOf(settings)
  const publicHost = publicUrl && new URL(publicUrl).hostname
  const routes = new Elysia()
    .get(
      '/',
      ({ request, set }) =>
        publicHost && URL.parse(request.url)?.hostname !== publicHost
          ? redirect(`${publicUrl}/`, 308)
          : answer(page, request, set as Reply),
      {
        detail: {
          summary: 'The web page; /#aBcD opens it with the code filled in',
          responses: {
            200: { description: 'The page' },
            308: { description: 'To the canonical origin, from another host' },
          },
        },
      },
    )
    .get(
      '/privacy',
      ({ query, request, set }) => {
        const language = languageOf(query.language, request.headers.get('accept-language'))
        const html = privacyPage(language, settings, stylesheet.path.slice(1))
        const file = { ...page, body: Buffer.from(html), gzip: undefined, etag: etagOf(html) }
        const body = answer(file, request, set as Reply)
        set.headers.vary = 'Origin, Accept-Language'
        return body
      },
      {
        detail: {
          summary: 'What this server keeps, for how long, and who can see it, as a page',
          responses: { 200: { description: 'The page' } },
        },
      },
    )
    // What an older page named is gone: no guess at a code, and no flood.
    .get('/assets/*', gone, { detail: { hide: true } })
    // The page's service worker takes what a phone shares. Without one the page can only say that it is lost.
    .post('/share', () => redirect('/#share-lost', 303), { parse: 'none', detail: { hide: true } })
  for (const file of files) {
    if (file.path === page.path) continue
    routes.get(file.path, ({ request, set }) => answer(file, request, set as Reply), { detail: { hide: true } })
  }
  return routes
}

function gone() {
  throw new Refusal('not_found', { message: 'There is nothing at this address.' })
}
