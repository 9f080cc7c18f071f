/** The raw routes: plain text for curl and whatever else speaks HTTP. */
import { Type as t } from '@sinclair/typebox'
import { Elysia, status } from 'elysia'
import { answers, FILL_ERRORS, LOAD_ERRORS, WRITE_ERRORS } from './answers.ts'
import { ERRORS, Refusal } from './errors.ts'
import type { Guard } from './guard.ts'
import type { Parsers } from './parsers.ts'
import { PLAIN_TEXT, parseDuration, passwordToLoad, passwordToWrite, wantsPage } from './request.ts'
import { code, fields } from './schemas.ts'
import type { Settings } from './settings.ts'
import type { Texts } from './texts.ts'

/** For OpenAPI: a raw route takes a password as HTTP Basic, or none; and one that writes a key, where there are keys. */
const PASSWORD: Record<string, string[]>[] = [{}, { password: [] }]
const WRITER = [...PASSWORD, { writeKey: [] }, { password: [], writeKey: [] }]

export function createRaw(
  texts: Texts,
  guard: Guard,
  settings: Settings,
  who: (request: Request) => string,
  parsers: Parsers,
) {
  const { MAX_EXPIRY_SECONDS, PUBLIC_URL } = settings
  const sealedAt = (code: string, request: Request) => () => {
    const link = `${PUBLIC_URL ?? new URL(request.url).origin}/#${code}`
    return new Refusal('sealed', { message: `${ERRORS.sealed[1]} Open ${link}` })
  }
  return new Elysia()
    .use(parsers)
    .post(
      '/',
      async ({ body, query, request }) => {
        const { code } = await texts.write(who(request), {
          text: body,
          expiresIn: query.expires === undefined ? undefined : parseDuration(query.expires, MAX_EXPIRY_SECONDS),
          password: passwordToWrite(request),
          once: query.once !== undefined,
        })
        return status(201, `${code}\n`)
      },
      {
        parse: ['newText', 'text'],
        body: t.String(),
        query: fields({
          expires: t.Optional(t.String({ description: 'Must be like 90, 10m, 1h or 7d.' })),
          once: t.Optional(t.String({ pattern: '^(1|true)?$', description: 'Must be without a value, or true.' })),
          password: t.Optional(
            t.Literal('', {
              description:
                'Must be without a value. It demands a password, which comes as HTTP Basic: curl -u :PASSWORD …',
            }),
          ),
        }),
        response: {
          201: t.String({ description: 'The four letters and a newline.' }),
          ...answers(t.String(), [...WRITE_ERRORS, 'password_required']),
        },
        detail: { summary: 'Store the body, byte for byte, and get a code', security: WRITER },
      },
    )
    .post(
      '/:code',
      async ({ body, params, request }) => {
        const code = params.code.trim()
        if (body !== '') {
          await texts.write(who(request), { text: body, to: code, password: passwordToWrite(request) })
          return status(201, `${code}\n`)
        }
        const load = { code, password: passwordToLoad(request), sealed: sealedAt(code, request), request }
        return (await texts.load(who(request), load)).text
      },
      {
        parse: ['anyText', 'text'],
        body: t.String(),
        params: t.Object({ code }),
        response: {
          200: t.String(),
          201: t.String({ description: 'The text was written to whoever waits: the four letters and a newline.' }),
          ...answers(t.String(), [...LOAD_ERRORS, ...FILL_ERRORS, 'sealed']),
        },
        detail: {
          summary:
            'Without a body: read a text, also one that can be read only once. With one: write it to whoever waits',
          security: PASSWORD,
        },
      },
    )

    .get(
      '/:code',
      async ({ params, request, set }) => {
        const client = who(request)
        guard.admitRequest(client)
        const code = params.code.trim()
        set.headers.vary = 'Origin, Accept'
        set.headers['content-type'] = PLAIN_TEXT
        if (wantsPage(request)) {
          set.headers.location = `${PUBLIC_URL ?? ''}/#${code}`
          return status(302, '')
        }
        const load = { code, password: passwordToLoad(request), sealed: sealedAt(code, request), request }
        return (await texts.load(client, { ...load, keepOnce: 'use_post' })).text
      },
      {
        params: t.Object({ code }),
        response: {
          200: t.String(),
          302: t.String({ description: 'A browser (it accepts text/html) is sent to the page.' }),
          ...answers(t.String(), [...LOAD_ERRORS, 'sealed', 'use_post']),
        },
        detail: { summary: 'Read a text', security: PASSWORD },
      },
    )
}
