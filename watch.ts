/** What the operator sees of the service: a log line for each request, and the metrics. */

import type { Server } from 'bun'
import type { Store } from './db/store.ts'
import type { ErrorCode } from './errors.ts'
import { clientOf } from './guard.ts'
import { log } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { Settings } from './settings.ts'

export type Watch = ReturnType<typeof createWatch>

/** Watches over one server. */
export function createWatch(store: Store, settings: Settings) {
  const metrics = settings.METRICS_PORT === undefined ? undefined : createMetrics(store, settings)
  /** Why a request was refused, between the moment it was and its log line. */
  const refusals = new WeakMap<Request, ErrorCode>()

  function record(request: Request, client: string, response: Response, started: number) {
    const milliseconds = performance.now() - started
    const { status } = response
    const route = routeOf(request)
    const error = refusals.get(request)
    metrics?.request(request.method, route, status, error, milliseconds)
    const level = status === 500 ? 'error' : status === 429 || status > 500 ? 'warn' : 'info'
    log[level]({
      id: idOf(request),
      method: request.method,
      route,
      status,
      error,
      ms: Math.round(milliseconds * 100) / 100,
      client: networkOf(client),
    })
    return response
  }

  return {
    metrics,

    /** Set when the server begins to stop: `/health` then answers 503, so that a balancer sends nobody here any more. */
    isStopping: false,

    refused(request: Request, reason: ErrorCode) {
      refusals.set(request, reason)
    },

    /** Wraps what answers `request`. */
    over<Handle extends (...args: never[]) => unknown>(
      handle: Handle,
      request: Request,
      server: Server<unknown> | null,
    ) {
      return (...args: Parameters<Handle>) => {
        const started = performance.now()
        // Asked for now: of a connection that is closed meanwhile it is no longer known.
        const client = clientOf(request, server, settings.CLIENT_IP_HEADER)
        const answer = handle(...args)
        if (answer instanceof Promise) return answer.then((response) => record(request, client, response, started))
        return record(request, client, answer as Response, started)
      }
    },

    /** Sweeps, and tells how that went. */
    async sweep(now: number) {
      const started = performance.now()
      try {
        const swept = await store.sweep(now)
        metrics?.swept(swept, now, (performance.now() - started) / 1000)
      } catch (error) {
        log.error({ err: error }, 'The sweep failed: it is tried again in a minute')
      }
    },
  }
}

/** The routes that have no code in their address. */
const ROUTES = new Set(['/', '/health', '/api/write', '/api/load', '/api/erase', '/openapi/json', '/share'])

/** The pattern of the route that answers `request`: an address itself may hold a code. */
function routeOf({ url }: Request): string {
  const start = url.indexOf('/', 8) // Behind the host.
  const query = url.indexOf('?', start)
  const path = url.slice(start, query < 0 ? undefined : query)
  if (ROUTES.has(path)) return path
  if (/^\/(assets\/.|icons\/.|_locales\/.|[^/]+\.[a-z]+$)/.test(path)) return '/assets/*'
  return /^\/[^/]+$/.test(path) ? '/:code' : 'none'
}

let requests = 0
const started = Date.now().toString(36)

/** What a proxy in front calls `request`, so that its log and this one can be laid side by side; else a name of its own. */
function idOf(request: Request): string {
  const given = request.headers.get('x-request-id') ?? request.headers.get('fly-request-id')
  return given && /^[\w-]{8,64}$/.test(given) ? given : `${started}-${(requests++).toString(36)}`
}

/** The network of a client: enough to see an attack, too little to see a person. An IPv4 /24 or an IPv6 /48. */
export const networkOf = (client: string): string =>
  client.replace(/^(\d+\.\d+\.\d+)\.\d+$/, '$1.0/24').replace(/^(\w+:\w+:\w+):\w+::\/64$/, '$1::/48')
