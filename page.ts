/** The web page: every file of it, bundled from `extension/` when the server starts or is compiled, answered from memory. */
import { Elysia, redirect } from 'elysia'
import { bundlePage } from './build.ts' with { type: 'macro' }
import { Refusal } from './errors.ts'

/** The page's own files and nothing else; a QR code is drawn in the page, so not even data: images. Argon2 is WebAssembly. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const files = bundlePage().map(({ body, gzip, ...file }) => ({
  ...file,
  etag: `W/"${Bun.hash(body).toString(36)}"`,
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

/** The routes of the page and of all that it is made of. A request for another host is sent to `publicUrl`. */
export function createPage(publicUrl?: string) {
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
    // What an older page named is gone: no guess at a code, and no flood.
    .get('/assets/*', gone, { detail: { hide: true } })
    // The page's service worker takes what a phone shares. Without one the page can only say that it is lost.
    .post('/share', () => redirect('/#share-lost', 303), { parse: 'none', detail: { hide: true } })
  for (const file of files) {
    if (file === page) continue
    routes.get(file.path, ({ request, set }) => answer(file, request, set as Reply), { detail: { hide: true } })
  }
  return routes
}

function gone() {
  throw new Refusal('not_found', { message: 'There is nothing at this address.' })
}
