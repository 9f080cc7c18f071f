/** The routes of those who wait for a text, and of those who want to know what became of theirs. */
import { Type as t } from '@sinclair/typebox'
import { Elysia, status } from 'elysia'
import { answers, errorBody, JSON_ERRORS, LOOK_UP_ERRORS, WRITE_ERRORS } from './answers.ts'
import { invalid } from './errors.ts'
import type { Parsers } from './parsers.ts'
import { PLAIN_TEXT } from './request.ts'
import { code, eraseToken, expiresAt, fields, publicKey, receiveToken, seal } from './schemas.ts'
import type { Texts } from './texts.ts'

/** Seconds that the server lets an answer be silent: longer than any wait, and as long as it takes. */
const WAIT_SILENCE = 60
const ANY_SILENCE = 0

const RECEIVE_ERRORS = [...WRITE_ERRORS, 'too_many_waiting'] as const

/** @param allowSilence lets the answer to a request come later than the server lets others */
export function createReceive(
  texts: Texts,
  who: (request: Request) => string,
  parsers: Parsers,
  allowSilence: (request: Request, seconds: number) => void,
) {
  const iso = (time: number) => new Date(time).toISOString()

  return new Elysia()
    .use(parsers)
    .post(
      '/api/status',
      async ({ body, request }) => {
        const { lastLoadedAt, expiresAt, ...receipt } = await texts.status(who(request), {
          ...body,
          code: body.code.trim(),
        })
        return {
          ...receipt,
          ...(lastLoadedAt !== null && { lastLoadedAt: iso(lastLoadedAt) }),
          expiresAt: iso(expiresAt),
        }
      },
      {
        parse: ['smallJson', 'json'],
        body: fields({ code, eraseToken }),
        response: {
          200: t.Object({
            state: t.Union([t.Literal('waiting'), t.Literal('loaded'), t.Literal('gone')], {
              description: 'Whether nobody has loaded the text yet, somebody has, or it was taken or erased.',
            }),
            loads: t.Integer({
              description: 'How many times it was loaded. A crash forgets those of the last seconds.',
            }),
            lastLoadedAt: t.Optional(t.String({ format: 'date-time' })),
            expiresAt,
          }),
          ...answers(errorBody, [...JSON_ERRORS, ...LOOK_UP_ERRORS]),
        },
        detail: { summary: 'What became of a text: also once it is gone, until it would have expired' },
      },
    )
    .post(
      '/api/receive',
      async ({ body, request }) => {
        const lent = await texts.receive(who(request), body.publicKey ?? null)
        return status(201, { ...lent, expiresAt: iso(lent.expiresAt) })
      },
      {
        parse: ['writerJson', 'json'],
        body: fields({ publicKey: t.Optional(publicKey) }),
        response: {
          201: t.Object({
            code: t.String({ description: 'The four letters, for whoever writes.' }),
            receiveToken: t.String({ description: 'What alone is given the text.' }),
            expiresAt,
          }),
          ...answers(errorBody, [...JSON_ERRORS, ...RECEIVE_ERRORS]),
        },
        detail: {
          summary: 'Take a code under which somebody else writes a text',
          security: [{}, { writeKey: [] }],
        },
      },
    )
    .post(
      '/api/receive/wait',
      async ({ body: { done, ...awaited }, request }) => {
        const [client, lent] = [who(request), { ...awaited, code: awaited.code.trim() }]
        allowSilence(request, WAIT_SILENCE)
        const received = done ? await texts.endWaiting(client, lent) : await texts.wait(client, lent, request.signal)
        return received ?? status(204, undefined)
      },
      {
        parse: ['smallJson', 'json'],
        body: fields({
          code,
          receiveToken,
          done: t.Optional(
            t.Boolean({
              description: 'Must be true or false: true says that the text is here, or no more wanted, and deletes it.',
            }),
          ),
        }),
        response: {
          200: t.Object({ text: t.String(), seal: t.Optional(seal) }),
          204: t.Void({ description: 'There is no text yet: ask again.' }),
          ...answers(errorBody, [...JSON_ERRORS, ...LOOK_UP_ERRORS]),
        },
        detail: { summary: 'Wait up to 25 seconds for the text; as often as it takes, until it is said to be done' },
      },
    )
    .post(
      '/receive',
      async ({ body, request, set }) => {
        if (body !== '') throw invalid('body', 'Must be empty: the text is what somebody else writes.')
        allowSilence(request, ANY_SILENCE)
        const parts = texts.receiveHere(who(request), request.signal)
        const { value: code } = await parts.next() // Here, so that a refusal is answered as one.
        const stream = new ReadableStream<string>({
          start: (stream) => stream.enqueue(code ?? ''),
          async pull(stream) {
            const { value: text, done } = await parts.next()
            // Breaks off where no text came, so that nobody takes the end for an empty one's.
            if (done && text !== 'all') stream.error()
            else if (done) stream.close()
            else stream.enqueue(text)
          },
          cancel: async () => void (await parts.return(undefined)),
        })
        set.headers['content-type'] = PLAIN_TEXT
        set.headers['x-accel-buffering'] = 'no' // Of nginx, which would hold the code back.
        return new Response(stream)
      },
      {
        parse: ['writerText', 'text'],
        body: t.String(),
        response: {
          200: t.String({
            description: 'The four letters and a newline, and later the text. It breaks off where none comes.',
          }),
          ...answers(t.String(), RECEIVE_ERRORS),
        },
        detail: {
          summary: 'Take a code, and in the same answer the text that somebody else writes',
          security: [{}, { writeKey: [] }],
        },
      },
    )
}
