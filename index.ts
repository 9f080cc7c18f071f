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
import { type Context, Elysia, status } from 'elysia'
import { rateLimit } from 'elysia-rate-limit'
import { runCommand } from './db/commands.ts'
import { isPostgres, withoutPassword } from './db/postgres.ts'
import { openStore, type Store } from './db/store.ts'
import {
  answers,
  errorBody,
  invalid,
  JSON_ERRORS,
  LOAD_ERRORS,
  LOOK_UP_ERRORS,
  logError,
  Refusal,
  toRefusal,
  WRITE_ERRORS,
} from './errors.ts'
import { clientOf, createGuard, describeLimits } from './guard.ts'
import { log } from './log.ts'
import manifest from './package.json' with { type: 'json' }
import { createPage } from './page.ts'
import { MAX_PASSWORD_BYTES } from './password.ts'
import { basicPassword, parseDuration, readJson, readText } from './request.ts'
import { readSettings, type Settings } from './settings.ts'
import { createTexts } from './texts.ts'
import { createWatch, type Watch } from './watch.ts'

/** An answer of the API loads nothing, and nobody may frame it. The page has its own. */
const CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const BROWSER_EXTENSION = /^(chrome|moz|safari-web)-extension:\/\/[^/]+$/

/** For OpenAPI: a raw route takes a password as HTTP Basic, or none. */
const PASSWORD: Record<string, string[]>[] = [{}, { password: [] }]

/** Milliseconds that a stop waits for answers in flight: the rest of the promised 5 seconds closes the database. */
const STOP_PATIENCE = 4000

/** The HTTP service over `store`. `now` is the clock, in milliseconds since 1970; `watch` hears of refusals. */
export function createApp(store: Store, settings: Settings, now: () => number = Date.now, watch?: Watch) {
  const { CORS_ORIGINS, DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS, MAX_TEXT_BYTES, PUBLIC_URL } = settings
  const guard = createGuard(settings, now, store.counters)
  const texts = createTexts(store, guard, settings, now)
  // Not from each request's context, where Elysia would define it anew for each one.
  let server: Server<unknown> | null = null
  const who = (request: Request) => clientOf(request, server, settings.CLIENT_IP_HEADER)

  const crossOrigin = cors({
    origin: [BROWSER_EXTENSION, ...CORS_ORIGINS.split(/\s*,\s*/).filter(Boolean)],
    methods: ['GET', 'POST'],
    allowedHeaders: ['Content-Type'],
    exposeHeaders: ['Retry-After', 'Date'],
    credentials: false,
    maxAge: 86_400,
  })
  // Only for requests that name an origin, and not as a hook before every request: that would cost a third of the loads.
  const [allowing] = crossOrigin.event.request?.splice(0) ?? []
  function allowOrigin(request: Request, set: Context['set']) {
    if (request.headers.has('origin')) allowing?.fn({ request, set } as Parameters<typeof allowing.fn>[0])
  }

  // Its hook alone: as a plugin it would have Elysia parse the cookies of every request, which costs another third.
  const [limiter] =
    rateLimit({
      context: guard.requests,
      duration: 60_000,
      max: Number.MAX_SAFE_INTEGER, // The context refuses.
      countFailedRequest: true,
      generator: who,
      headers: false,
    })(new Elysia()).event.beforeHandle ?? []

  // A field that fails its schema is answered with its description.
  const fields = <T extends Parameters<typeof t.Object>[0]>(properties: T) =>
    t.Object(properties, { additionalProperties: false })
  const code = t.String({
    pattern: '^\\s*[A-Za-z]{4}\\s*$',
    description: 'Must be four letters, a–z or A–Z. White space around them is ignored.',
  })
  const password = t.String({
    minLength: 1,
    maxLength: MAX_PASSWORD_BYTES,
    description: `Must be 1 to ${MAX_PASSWORD_BYTES} bytes of UTF-8. Compared after NFC normalization.`,
  })
  const expiresIn = t.Integer({
    minimum: 60,
    maximum: MAX_EXPIRY_SECONDS,
    description: `Must be whole seconds from 60 to ${MAX_EXPIRY_SECONDS}. Without it: ${DEFAULT_EXPIRY_SECONDS}.`,
  })
  const expiresAt = t.String({ format: 'date-time', description: 'When the text is gone: ISO 8601, UTC.' })

  return (
    new Elysia({ normalize: false })
      .headers({
        'cache-control': 'no-store',
        vary: 'Origin',
        'content-security-policy': CONTENT_SECURITY_POLICY,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        ...(PUBLIC_URL?.startsWith('https:') && { 'strict-transport-security': 'max-age=31536000' }),
      })
      .onStart((app) => {
        server = app.server
      })
      .use(crossOrigin)
      .onTransform(({ request, set }) => {
        allowOrigin(request, set)
      })
      .onError(({ error, code, path, request, set }) => {
        allowOrigin(request, set)
        let refusal = toRefusal(error, code)
        try {
          // An unknown address never reaches what counts it, nor does a code that breaks its schema reach the limiter.
          if (code === 'NOT_FOUND' || (code === 'VALIDATION' && request.method !== 'POST')) {
            guard.admitRequest(who(request))
          }
        } catch (flood) {
          refusal = toRefusal(flood, code)
        }
        watch?.refused(request, refusal.reason)
        const { retryAfter } = refusal.details
        if (retryAfter !== undefined) set.headers['retry-after'] = String(retryAfter)
        if (/^\/(api\/|openapi\/|health$)/.test(path)) return status(refusal.status, refusal.body)
        let { text } = refusal
        if (refusal.status === 401) {
          set.headers['www-authenticate'] = 'Basic realm="extextcloud", charset="UTF-8"'
          text += 'Send the password with: curl -u :PASSWORD …\n'
        }
        // Hidden from the JSON routes' types, which would otherwise have to reckon with it.
        return status(refusal.status, text as never)
      })

      // What counts towards no limit stands before the limiter.
      .use(createPage(MAX_TEXT_BYTES, PUBLIC_URL))
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
      // Requests with a body are counted before the body is read, so their routes stand before the limiter.
      // The built-in parsers named behind these two never run: they tell OpenAPI the media type.
      .parser('jsonBody', ({ request }) => {
        guard.admitRequest(who(request))
        return readJson(request, MAX_TEXT_BYTES)
      })
      .parser('textBody', ({ request }) => {
        guard.admitRequest(who(request))
        return readText(request, MAX_TEXT_BYTES)
      })

      .post('/api/write', async ({ body, request }) => status(201, await texts.write(who(request), body)), {
        parse: ['jsonBody', 'json'],
        body: fields({
          text: t.String({
            minLength: 1,
            description: `Must be well-formed Unicode, 1 character to ${MAX_TEXT_BYTES} bytes of UTF-8.`,
          }),
          expiresIn: t.Optional(expiresIn),
          password: t.Optional(password),
          once: t.Optional(
            t.Boolean({ description: 'Must be true or false: whether the first load deletes the text.' }),
          ),
        }),
        response: {
          201: t.Object({
            code: t.String({ description: 'The four letters.' }),
            expiresAt,
            eraseToken: t.String({ description: 'Lets its owner erase the text. The server cannot tell it again.' }),
          }),
          ...answers(errorBody, [...JSON_ERRORS, ...WRITE_ERRORS]),
        },
        detail: { summary: 'Store a text and get a code' },
      })
      .post(
        '/api/load',
        ({ body: { code, password, take }, request }) =>
          texts.load(who(request), {
            ...{ code: code.trim(), password, request },
            keepOnce: take === false ? 'only_once' : undefined,
          }),
        {
          parse: ['jsonBody', 'json'],
          body: fields({
            code,
            password: t.Optional(password),
            take: t.Optional(
              t.Boolean({ description: 'Must be true or false: false leaves a text that can be read only once.' }),
            ),
          }),
          response: {
            200: t.Object({
              text: t.String(),
              expiresAt,
              once: t.Boolean({ description: 'Whether this load has deleted the text.' }),
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
          parse: ['jsonBody', 'json'],
          body: fields({ code, eraseToken: t.String({ maxLength: 256, description: 'Must be what writing gave.' }) }),
          response: { 204: t.Void(), ...answers(errorBody, [...JSON_ERRORS, ...LOOK_UP_ERRORS]) },
          detail: { summary: 'Delete a text before its time' },
        },
      )

      .post(
        '/',
        async ({ body, query, request }) => {
          const { code } = await texts.write(who(request), {
            text: body,
            expiresIn: query.expires === undefined ? undefined : parseDuration(query.expires, MAX_EXPIRY_SECONDS),
            password: basicPassword(request),
            once: query.once !== undefined,
          })
          return status(201, `${code}\n`)
        },
        {
          parse: ['textBody', 'text'],
          body: t.String(),
          query: fields({
            expires: t.Optional(t.String({ description: 'Must be like 90, 10m, 1h or 7d.' })),
            once: t.Optional(t.String({ pattern: '^(1|true)?$', description: 'Must be without a value, or true.' })),
          }),
          response: {
            201: t.String({ description: 'The four letters and a newline.' }),
            ...answers(t.String(), WRITE_ERRORS),
          },
          detail: { summary: 'Store the body, byte for byte, and get a code', security: PASSWORD },
        },
      )
      .post(
        '/:code',
        async ({ body, params, request }) => {
          if (body !== '') throw invalid('body', 'Must be empty. This address reads a text; to write one, POST it to /')
          const load = { code: params.code.trim(), password: basicPassword(request), request }
          return (await texts.load(who(request), load)).text
        },
        {
          parse: ['textBody', 'text'],
          body: t.String(),
          params: t.Object({ code }),
          response: {
            200: t.String(),
            ...answers(t.String(), [...LOAD_ERRORS, 'text_too_large', 'unsupported_media_type']),
          },
          detail: { summary: 'Read a text, also one that can be read only once', security: PASSWORD },
        },
      )

      .onBeforeHandle(({ request, set }) => limiter?.fn({ request, set } as Parameters<typeof limiter.fn>[0]))
      .use(
        openapi({
          provider: null,
          documentation: {
            info: {
              title: manifest.name,
              version: manifest.version,
              description: `${manifest.description}\n\n${describeLimits(settings)}`,
            },
            components: { securitySchemes: { password: { type: 'http', scheme: 'basic' } } },
          },
        }),
      )
      .get(
        '/:code',
        async ({ params, request, set }) => {
          const code = params.code.trim()
          set.headers.vary = 'Origin, Accept'
          if (request.headers.get('accept')?.includes('text/html')) {
            set.headers.location = `${PUBLIC_URL ?? ''}/#${code}`
            return status(302, '')
          }
          const load = { code, password: basicPassword(request), request }
          return (await texts.load(who(request), { ...load, keepOnce: 'use_post' })).text
        },
        {
          params: t.Object({ code }),
          response: {
            200: t.String(),
            302: t.String({ description: 'A browser (it accepts text/html) is sent to the page.' }),
            ...answers(t.String(), [...LOAD_ERRORS, 'use_post']),
          },
          detail: { summary: 'Read a text', security: PASSWORD },
        },
      )
  )
}

export type App = ReturnType<typeof createApp>

/** What operators may read of where the data is. */
const whereIs = (url: string) => (isPostgres(url) ? withoutPassword(url) : url === ':memory:' ? 'memory' : resolve(url))

async function main([command, ...args]: string[]) {
  const settings = readSettings(process.env)
  const path = settings.DATABASE_URL
  if (command === 'health') {
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
    maxStoredBytes: settings.MAX_STORED_BYTES,
    say: console.log,
  })
  log.level = settings.LOG_LEVEL
  const watch = createWatch(store, settings)
  const sweep = () => watch.sweep(Date.now())
  const app = createApp(store, settings, Date.now, watch)
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
