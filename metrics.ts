/** What Prometheus is told on `METRICS_PORT`. Names and labels hold no code, text, password, token or address. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { logError } from './answers.ts'
import { CODES, type Store } from './db/store.ts'
import type { ErrorCode } from './errors.ts'
import { hashes } from './password.ts'
import type { Settings } from './settings.ts'
import { waits } from './waiting.ts'

/** Seconds: a load takes less than the first, and a password in a full queue less than the last. */
const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export function createMetrics(store: Store, settings: Settings) {
  const registry = new Registry()
  const registers = [registry]
  // Of the process: memory, processor, files, the lag of the event loop.
  collectDefaultMetrics({ register: registry })

  const requests = new Counter({
    name: 'extextcloud_requests_total',
    help: 'Requests by what came of them; error is the error code of a refusal',
    labelNames: ['method', 'route', 'status', 'error'],
    registers,
  })
  const seconds = new Histogram({
    name: 'extextcloud_request_seconds',
    help: 'Time from the arrival of a request to its answer',
    labelNames: ['route'],
    buckets: SECONDS,
    registers,
  })
  const unnamed = new Counter({
    name: 'extextcloud_unnamed_clients_total',
    help: 'Requests in which CLIENT_IP_HEADER named no address, so that their client is the proxy',
    registers,
  })
  const swept = new Counter({
    name: 'extextcloud_swept_texts_total',
    help: 'Expired texts that were deleted',
    registers,
  })
  const sweepSeconds = new Gauge({
    name: 'extextcloud_sweep_seconds',
    help: 'Time that the last sweep took',
    registers,
  })
  const lastSweep = new Gauge({
    name: 'extextcloud_last_sweep_timestamp_seconds',
    help: 'When the last sweep succeeded',
    registers,
  })
  const texts = new Gauge({ name: 'extextcloud_texts', help: 'Texts stored', registers })
  const bytes = new Gauge({ name: 'extextcloud_stored_bytes', help: 'Bytes of all texts together', registers })
  const maxTexts = new Gauge({ name: 'extextcloud_texts_max', help: 'MAX_TEXTS', registers })
  const maxBytes = new Gauge({ name: 'extextcloud_stored_bytes_max', help: 'MAX_STORED_BYTES', registers })
  const codes = new Gauge({
    name: 'extextcloud_codes',
    help: 'Codes in the pool: free ones can be lent now, resting ones later',
    labelNames: ['state'],
    registers,
  })
  const receiving = new Gauge({
    name: 'extextcloud_receiving_codes',
    help: 'Codes under which somebody waits for a text, or has not fetched it yet',
    registers,
  })
  const waiting = new Gauge({
    name: 'extextcloud_waiting_requests',
    help: 'Requests that wait for a text',
    registers,
  })
  const hashing = new Gauge({
    name: 'extextcloud_password_hashes',
    help: 'Argon2 hashes: running ones, and those that wait for a core',
    labelNames: ['state'],
    registers,
  })
  maxTexts.set(settings.MAX_TEXTS)
  maxBytes.set(settings.MAX_STORED_BYTES)

  /** All of it, in Prometheus' text format. While the database cannot be read, what it holds is as it was last known. */
  async function answer(now: number): Promise<Response> {
    const stored = await store.stats(now).catch(logError)
    if (stored) {
      texts.set(stored.texts)
      bytes.set(stored.bytes)
      receiving.set(stored.receiving)
      codes.set({ state: 'resting' }, stored.resting)
      codes.set({ state: 'free' }, CODES - stored.texts - stored.resting)
    }
    waiting.set(waits())
    hashing.set({ state: 'running' }, hashes().running)
    hashing.set({ state: 'waiting' }, hashes().waiting)
    return new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } })
  }

  return {
    request(method: string, route: string, status: number, error: ErrorCode | undefined, milliseconds: number) {
      requests.inc({ method, route, status, error: error ?? '' })
      seconds.observe({ route }, milliseconds / 1000)
    },

    unnamed() {
      unnamed.inc()
    },

    swept(count: number, now: number, took: number) {
      swept.inc(count)
      sweepSeconds.set(took)
      lastSweep.set(now / 1000)
    },

    answer,

    /** Serves them on their own port. Returns the address. */
    serve(): URL {
      const { url } = Bun.serve({
        port: settings.METRICS_PORT,
        hostname: settings.HOST,
        reusePort: false,
        development: false,
        routes: { '/metrics': () => answer(Date.now()) },
      })
      return new URL('/metrics', url)
    },
  }
}
