/** How the body of each kind of request is read. What it costs is counted first, and who may not write is refused before. */
import { Elysia } from 'elysia'
import { Refusal, tooLarge } from './errors.ts'
import type { Guard } from './guard.ts'
import { passwordToWrite, readJson, readText, SMALL_BODY_BYTES } from './request.ts'
import type { Settings } from './settings.ts'

export type Parsers = ReturnType<typeof createParsers>

/**
 * A route names one of these in `parse`, and behind it the built-in one that is never reached: by that OpenAPI knows the
 * media type.
 * @param checkWriter throws where the request does not bring a write key that it needs
 */
export function createParsers(
  { MAX_TEXT_BYTES, WRITE_KEYS }: Settings,
  guard: Guard,
  who: (request: Request) => string,
  checkWriter: (request: Request, client: string) => Promise<void>,
) {
  const large = { maxBytes: MAX_TEXT_BYTES, tooLarge: () => tooLarge(MAX_TEXT_BYTES), admit: guard.admitRequest }
  // A byte of text takes up to six in JSON (\u0000), and the other fields need a little room.
  const largeJson = { ...large, maxBytes: 6 * MAX_TEXT_BYTES + SMALL_BODY_BYTES }
  const small = {
    maxBytes: SMALL_BODY_BYTES,
    tooLarge: () => tooLarge(SMALL_BODY_BYTES, 'request'),
    admit: guard.admitRequest,
  }

  const noKey = new Refusal('write_key_required')

  function count(request: Request): string {
    const client = who(request)
    guard.admitRequest(client)
    return client
  }

  async function countWriter(request: Request): Promise<string> {
    const client = count(request)
    await checkWriter(request, client)
    return client
  }

  return new Elysia()
    .parser('newJson', async ({ request }) => {
      const client = count(request)
      if (!WRITE_KEYS || request.headers.has('x-write-key')) {
        await checkWriter(request, client)
        return readJson(request, { client, ...largeJson })
      }
      // Who writes to somebody needs no key. Of a large body that is to be seen from its beginning.
      const body = await readJson(request, {
        client,
        ...largeJson,
        refuseBy: (start) => !start.includes('"to"') && noKey,
      })
      if (body.to === undefined) throw noKey
      return body
    })
    .parser('smallJson', ({ request }) => readJson(request, { client: count(request), ...small }))
    .parser('writerJson', async ({ request }) => readJson(request, { client: await countWriter(request), ...small }))

    .parser('newText', async ({ query, request }) => {
      const client = await countWriter(request)
      // A client that sends credentials only when it is asked for them sends the body twice: the first is not read.
      if (query.password === '' && passwordToWrite(request) === undefined) {
        throw new Refusal('password_required', { message: 'The address says ?password, but no password came.' })
      }
      return readText(request, { client, ...large })
    })
    .parser('anyText', ({ request }) => readText(request, { client: count(request), ...large }))
    .parser('writerText', async ({ request }) => readText(request, { client: await countWriter(request), ...small }))
}
