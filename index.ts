/**
 * extextcloud: write a text, get four letters; load it on any other computer with those four letters.
 *
 * This file is the whole server: what every request passes through, the routes, the start and the stop. The routes
 * lean on `texts.ts` (what they do), `errors.ts` (the error table), `guard.ts` (the limits) and `db/` (the store).
 */
import { networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import { cors } from '@elysiajs/cors'
import { cron } from '@elysiajs/cron'
import { openapi } from '@elysiajs/openapi'
import { Type as t } from '@sinclair/typebox'
import type { Server } from 'bun'
import { Elysia, status } from 'elysia'
import {
  answer,
  answers,
  createMethods,
  createResponder,
  errorBody,
  JSON_ERRORS,
  LOAD_ERRORS,
  LOOK_UP_ERRORS,
  logError,
  refuseMethod,
  toRefusal,
  WRITE_ERRORS,
} from './answers.ts'
import { clientOf } from './client.ts'
import { runCommand } from './db/commands.ts'
import { openStore } from './db/open.ts'
import { isPostgres, withoutPassword } from './db/postgres/connection.ts'
import type { Store } from './db/store.ts'
import { Refusal } from './errors.ts'
import { createGuard, createLimiter, describeLimits } from './guard.ts'
import { createWriteCheck } from './keys.ts'
import { log } from './log.ts'
import { admittedOrigins, createForeignCheck, createHostCheck } from './origin.ts'
import manifest from './package.json' with { type: 'json' }
import { createPage } from './page.ts'
import { createParsers } from './parsers.ts'
import { createRaw } from './raw.ts'
import { createReceive } from './receive.ts'
import { code, eraseToken, expiresAt, expiresIn, fields, flag, password, seal, text } from './schemas.ts'
import { readSettings, type Settings } from './settings.ts'
import { createTexts } from './texts.ts'
import { createWaiting } from './waiting.ts'
import { createWatch, type Watch } from './watch.ts'

/** An answer of the API loads nothing, and nobody may frame it. The page has its own. */
const CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Milliseconds that a stop waits for answers in flight: the rest of the promised 5 seconds closes the database. */
const STOP_PATIENCE = 4000

/**
 * The HTTP service over `store`. `now` is the clock, in milliseconds since 1970; `watch` hears of refusals; `waiting` knows
 * who waits for a text.
 */
export function createApp(
  store: Store,
  settings: Settings,
  now: () => number = Date.now,
  watch?: Watch,
  waiting = createWaiting(store),
) {
  const { PUBLIC_URL } = settings
  const guard = createGuard(settings, now, store.counters, () => store.known().texts)
  const texts = createTexts(store, guard, settings, waiting, now)
  const [refuseForeign, refuseOtherHost] = [createForeignCheck(settings), createHostCheck(settings)]
  // Not from each request's context, where Elysia would define it anew for each one.
  let server: Server<unknown> | null = null
  const who = (request: Request) => clientOf(request, server, settings.CLIENT_IP_HEADER)
  const parsers = createParsers(settings, guard, who, createWriteCheck(settings, guard, watch))
  let methodsAt: (path: string) => string[]

  const app =
    // Bun's URLs are `http://HOST/PATH` always. Unless told so, Elysia looks for the path behind the third letter of the host.
    new Elysia({ normalize: false, handler: { standardHostname: false } })
      .headers({
        'cache-control': 'no-store',
        vary: 'Origin',
        'content-security-policy': CONTENT_SECURITY_POLICY,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        ...(PUBLIC_URL?.startsWith('https:') && { 'strict-transport-security': 'max-age=31536000' }),
      })
      .onStart((app) => {
        server = app.server
      })
      // Before anything is counted or read.
      .onRequest(({ request }) => {
        refuseForeign(request)
        refuseOtherHost(request)
        // No route answers a preflight: cors does, for every address.
        if (request.method === 'OPTIONS') guard.admitAsset(who(request))
      })
      .use(
        cors({
          origin: admittedOrigins(settings),
          methods: ['GET', 'POST'],
          allowedHeaders: ['Content-Type', 'X-Write-Key'],
          exposeHeaders: ['Retry-After', 'Date'],
          credentials: false,
          maxAge: 86_400,
        }),
      )
      .mapResponse(createResponder())
      .onError(({ error, code, path, request, set }) => {
        let refusal = toRefusal(error, code)
        // A code takes every address of one word, which may be one of ours with another method.
        if (code === 'NOT_FOUND' || code === 'VALIDATION') {
          refusal = refuseMethod(request.method, methodsAt(path)) ?? refusal
        }
        try {
          // An unknown address never reaches what counts it, nor does a code that breaks its schema reach the limiter.
          if (code === 'NOT_FOUND' || (code === 'VALIDATION' && request.method !== 'POST')) {
            guard.admitRequest(who(request))
          }
        } catch (flood) {
          refusal = toRefusal(flood, code)
        }
        watch?.refused(request, refusal.reason)
        return answer(refusal, path, request, set.headers, PUBLIC_URL)
      })

      // Requests with a body are counted before the body is read, so their routes stand before the limiters.
      .use(parsers)

      .post('/api/write', async ({ body, request }) => status(201, await texts.write(who(request), body)), {
        parse: ['newJson', 'json'],
        body: fields({
          text: text(settings),
          expiresIn: t.Optional(expiresIn(settings)),
          password: t.Optional(password),
          seal: t.Optional(seal),
          once: flag('whether the first load deletes the text'),
          to: t.Optional(code),
        }),
        response: {
          201: t.Object({
            code: t.String({ description: 'The four letters.' }),
            expiresAt,
            eraseToken: t.String({ description: 'Lets its owner erase the text. The server cannot tell it again.' }),
          }),
          ...answers(errorBody, [...JSON_ERRORS, ...WRITE_ERRORS, 'not_found']),
        },
        detail: { summary: 'Store a text and get a code', security: [{}, { writeKey: [] }] },
      })
      .post(
        '/api/load',
        async ({ body: { code, password, take, waiting }, request }) => {
          const keepOnce = take === false ? 'only_once' : undefined
          const loaded = await texts.load(who(request), { code: code.trim(), password, keepOnce, waiting, request })
          return { ...loaded, expiresAt: new Date(loaded.expiresAt).toISOString() }
        },
        {
          parse: ['smallJson', 'json'],
          body: fields({
            code,
            password: t.Optional(password),
            take: flag('false leaves a text that can be read only once'),
            waiting: flag('true asks for who waits for a text, and gives none'),
          }),
          response: {
            200: t.Object({
              text: t.String(),
              expiresAt,
              once: t.Boolean({ description: 'Whether this load has deleted the text.' }),
              seal: t.Optional(seal),
            }),
            ...answers(errorBody, [...JSON_ERRORS, ...LOAD_ERRORS, 'only_once']),
          },
          detail: { summary: 'Read a text by its code' },
        },
      )
      .post(
        '/api/erase',
        async ({ body, request }) => {
          await texts.erase(who(request), { ...body, code: body.code.trim() })
          return status(204, undefined)
        },
        {
          parse: ['smallJson', 'json'],
          body: fields({ code, eraseToken }),
          response: { 204: t.Void(), ...answers(errorBody, [...JSON_ERRORS, ...LOOK_UP_ERRORS]) },
          detail: { summary: 'Delete a text before its time' },
        },
      )

      .use(createReceive(texts, who, parsers, (request, seconds) => server?.timeout(request, seconds)))
      .use(createRaw(texts, guard, settings, who, parsers))
      // What costs little has a limit of its own, far above a person's. The limiter could look at cookies: outside of a
      // group Elysia would parse them for every route.
      .group('', (app) => app.use(createLimiter(guard.assets, who)).use(createPage(settings)))
      .onBeforeHandle(({ request }) => void guard.admitAsset(who(request)))
      .get(
        '/health',
        async () => {
          if (watch?.isStopping) throw new Refusal('busy', { message: 'The server is stopping.', retryAfter: 5 })
          try {
            await store.check()
          } catch (error) {
            logError(error)
            throw new Refusal('busy', { retryAfter: 5 })
          }
          return { status: 'ok' as const }
        },
        {
          response: { 200: t.Object({ status: t.Literal('ok') }), ...answers(errorBody, ['busy']) },
          detail: { summary: 'Whether the service can read its database, and is not about to stop' },
        },
      )
      .use(
        openapi({
          provider: null,
          documentation: {
            info: {
              title: manifest.name,
              version: manifest.version,
              description: `${manifest.description}\n\n${describeLimits(settings)}`,
            },
            components: {
              securitySchemes: {
                password: { type: 'http', scheme: 'basic', description: 'With an empty user.' },
                writeKey: {
                  ...{ type: 'apiKey', in: 'header', name: 'X-Write-Key' },
                  description: 'Only where the server has write keys; loading never needs one.',
                },
              },
            },
          },
        }),
      )
  methodsAt = createMethods(app.routes)
  return app
}

export type App = ReturnType<typeof createApp>

/** What operators may read of where the data is. */
const whereIs = (url: string) => (isPostgres(url) ? withoutPassword(url) : url === ':memory:' ? 'memory' : resolve(url))

async function main([command, ...args]: string[]) {
  const settings = readSettings(process.env)
  const path = settings.DATABASE_URL
  if (command === 'health') {
    // Asked past every proxy that the environment names: none of them leads to this machine.
    process.env.NO_PROXY = process.env.no_proxy = '*'
    const host = settings.HOST ?? '127.0.0.1'
    const { status } = await fetch(`http://${host.includes(':') ? `[${host}]` : host}:${settings.PORT}/health`)
    if (status !== 200) throw new Error(`The server answers ${status}.`)
    return console.log('The server is well')
  }
  if (command) return runCommand(command, args, path, console.log)

  const store = await openStore(path, {
    connections: settings.DATABASE_CONNECTIONS,
    timeoutSeconds: settings.DATABASE_TIMEOUT_SECONDS,
    isPooled: settings.DATABASE_POOLER !== undefined,
    codeRestSeconds: settings.CODE_REST_SECONDS,
    maxTexts: settings.MAX_TEXTS,
    maxStoredBytes: settings.MAX_STORED_BYTES,
    say: console.log,
  })
  log.level = settings.LOG_LEVEL
  const watch = createWatch(store, settings)
  const sweep = () => watch.sweep(Date.now())
  const waiting = createWaiting(store)
  const app = createApp(store, settings, Date.now, watch, waiting)
  const { server } = app
    .wrap((handle, request) => watch.over(handle, request, app.server))
    .use(cron({ name: 'sweep', pattern: '* * * * *', protect: true, run: sweep }))
    .listen({
      port: settings.PORT,
      hostname: settings.HOST,
      reusePort: false, // Two servers would share a port, and its clients, without noticing.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER, // The parsers refuse sooner, and in words.
    })
  sweep()
  const [, tested] = manifest.packageManager.split('@')
  if (Bun.version !== tested) console.log(`This is Bun ${Bun.version}; the tests ran on ${tested}.`)
  console.log(`extextcloud listens on ${server?.url.origin}`)
  for (const { address, family, internal } of settings.HOST
    ? []
    : Object.values(networkInterfaces()).flatMap((i) => i ?? [])) {
    if (family === 'IPv4' && !internal) console.log(`On your network: http://${address}:${server?.port}`)
  }
  if (watch.metrics) console.log(`Metrics are at ${watch.metrics.serve()}`)
  console.log(`The data is in ${whereIs(path)}`)

  let stopping = false
  const stop = async () => {
    // A terminal's Ctrl+C arrives twice: from the terminal itself, and passed on by `bun run`.
    if (stopping) return
    stopping = true
    watch.isStopping = true
    await Bun.sleep(settings.DRAIN_SECONDS * 1000)
    // No new connections. `stop` itself would also wait for the ones that idle, so the answers in flight are asked for.
    server?.stop()
    waiting.end()
    const end = performance.now() + STOP_PATIENCE
    while (server?.pendingRequests && performance.now() < end) await Bun.sleep(10)
    await store.close()
    console.log('Stopped: every answered write is on the disk')
    process.exit(0)
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
}

if (import.meta.main) {
  main(process.argv.slice(2)).catch((error) => {
    const isListening = 'syscall' in error && error.syscall === 'listen'
    console.error(`extextcloud: ${error.message}${isListening ? ' Set PORT, METRICS_PORT or HOST to another.' : ''}`)
    process.exit(1)
  })
}
