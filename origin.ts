/** Which pages may ask, by what their browser says of them; and under which name this server is asked. */
import { Refusal } from './errors.ts'
import type { Settings } from './settings.ts'

const BROWSER_EXTENSION = /^(chrome|moz|safari-web)-extension:\/\/[^/]+$/

/** The origins that CORS admits. */
export const admittedOrigins = ({ CORS_ORIGINS }: Settings): (string | RegExp)[] => [
  BROWSER_EXTENSION,
  ...CORS_ORIGINS.split(/\s*,\s*/).filter(Boolean),
]

/**
 * Makes what refuses a request that another site's page makes its visitor's browser send (https://www.w3.org/TR/fetch-metadata):
 * it would spend the visitor's limits. Links go on working, and whatever is no browser says nothing of itself.
 */
export function createForeignCheck(settings: Settings) {
  const admitted = admittedOrigins(settings)
  const isAdmitted = (origin: string) =>
    admitted.some((one) => (typeof one === 'string' ? one === origin : one.test(origin)))

  return ({ headers, method }: Request) => {
    const site = headers.get('sec-fetch-site')
    // Chromium says nothing of a WebSocket but its origin, and no page of this server opens one.
    const isSocket = site === null && headers.has('sec-websocket-key') && headers.has('origin')
    if (site !== 'cross-site' && site !== 'same-site' && !isSocket) return
    if (isAdmitted(headers.get('origin') ?? '')) return
    const isLink =
      method === 'GET' && headers.get('sec-fetch-mode') === 'navigate' && headers.get('sec-fetch-dest') === 'document'
    // Speculation rules navigate without anybody having pressed a link.
    if (!isLink || headers.get('sec-purpose')?.includes('prefetch')) throw new Refusal('cross_site')
  }
}

/** Makes what refuses a request under another name than `PUBLIC_URL` says: a name that an attacker lets point here (DNS rebinding). */
export function createHostCheck({ PUBLIC_URL }: Settings) {
  if (!PUBLIC_URL) return () => {}
  const { hostname, origin } = new URL(PUBLIC_URL)
  return ({ url, method }: Request) => {
    if (URL.parse(url)?.hostname.replace(/\.$/, '') === hostname) return
    // Also where there is no host, or none that can be read.
    const [, path] = /^(?:\w+:\/\/[^/]*)?([^?]*)/.exec(url) ?? []
    if (path === '/health') return
    // The page itself is sent to its canonical address.
    if (path === '/' && (method === 'GET' || method === 'HEAD')) return
    throw new Refusal('wrong_host', { message: `This server is ${origin}, and answers under no other name.` })
  }
}
