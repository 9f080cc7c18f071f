/** What the operator sees of the service: a log line for each request, and the metrics. */

import type { Server } from 'bun'
import { LRUCache } from 'lru-cache'
import { clientOf, namedClient, networkOf } from './client.ts'
import type { Store } from './db/store.ts'
import type { ErrorCode } from './errors.ts'
import { log, logRequest } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { Settings } from './settings.ts'

export type Watch = ReturnType<typeof createWatch>

/** What refuses without end whoever asks without end, and how many milliseconds it is told once for a network. */
const FLOODING = /^(too_many_|cross_site|wrong_host)/
const FLOOD = 60_000

/** Requests without a named client, and none with one before them, that are worth a warning: one may be the operator's own. */
const UNNAMED = 2

/** Watches over one server. */
export function createWatch(store: Store, settings: Settings) {
  const metrics = settings.METRICS_PORT === undefined ? undefined : createMetrics(store, settings)
  /** Why a request was refused, between the moment it was and its log line. */
  const refusals = new WeakMap<Request, ErrorCode>()
  /** The name of the write key that a request brought. */
  const keys = new WeakMap<Request, string>()

  /** Of the floods that were told, by what and whence: until when no more is told of them. */
  const told = new LRUCache<string, number>({ max: 1000 })

  /** Whether a refusal is one of many and told already: a flood of them would push everything else out of the log. */
  function isTold(error: ErrorCode, network: string, now: number): boolean {
    const flood = `${error} ${network}`
    const isTold = (told.get(flood) ?? 0) > now
    if (!isTold) told.set(flood, now + FLOOD)
    return isTold
  }

  /** Requests whose client the proxy has not named; undefined once it has named one. */
  let unnamed: number | undefined = 0

  /** Behind a proxy that does not name the client where it should, all count as one, and nobody would notice why. */
  function checkName(request: Request, header: string) {
    if (namedClient(request, header) !== undefined) {
      unnamed = undefined
      return
    }
    metrics?.unnamed()
    if (unnamed === undefined || ++unnamed !== UNNAMED) return
    log.warn(`CLIENT_IP_HEADER is ${header}, but no request has named an address there yet: all count as one client.`)
  }

  function record(request: Request, client: string, response: Response, started: number) {
    const milliseconds = performance.now() - started
    const { status } = response
    const route = routeOf(request)
    const error = refusals.get(request)
    // Balancers ask for /health themselves.
    if (settings.CLIENT_IP_HEADER && route !== '/health') checkName(request, settings.CLIENT_IP_HEADER)
    metrics?.request(request.method, route, status, error, milliseconds)
    if (error && FLOODING.test(error) && isTold(error, networkOf(client), started)) return response
    const level = status === 500 ? 'error' : status === 429 || status > 500 ? 'warn' : 'info'
    logRequest(level, {
      id: (settings.CLIENT_IP_HEADER && givenId(request)) || newId(),
      method: request.method,
      route,
      status,
      error,
      key: keys.get(request),
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

    wroteWith(request: Request, key: string) {
      keys.set(request, key)
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
const ROUTES = new Set(
  '/ /privacy /health /api/write /api/load /api/erase /api/status /api/receive /api/receive/wait /receive /openapi/json /share'.split(
    ' ',
  ),
)

/** The pattern of the route that answers `request`: an address itself may hold a code. */
export function routeOf({ url }: Request): string {
  const start = url.indexOf('/', 8) // Behind the host.
  const query = url.indexOf('?', start)
  // As the router reads it: one slash at the end is no part of it.
  const path = url.slice(start, query < 0 ? undefined : query).replace(/(.)\/$/, '$1')
  if (ROUTES.has(path)) return path
  if (/^\/(assets\/.|icons\/.|_locales\/.|[^/]+\.[a-z]+$)/.test(path)) return '/assets/*'
  return /^\/[^/]+$/.test(path) ? '/:code' : 'none'
}

let requests = 0
const started = Date.now().toString(36)

const newId = () => `${started}-${(requests++).toString(36)}`

/** What a proxy in front calls `request`, so that its log and this one can be laid side by side. Without one it is anybody's word. */
function givenId(request: Request): string | undefined {
  const given = request.headers.get('x-request-id') ?? request.headers.get('fly-request-id')
  return given && /^[\w-]{8,64}$/.test(given) ? given : undefined
}
