/** A server in front of a test's server that keeps all that goes over the network. */
import type { TestServer } from './server.ts'

/** A request, and its answer where it is the API's. */
export interface Recording {
  path: string
  search: string
  headers: string
  body: string
  answer: string
  /** When it came, in milliseconds. */
  at: number
}

export type RecordedServer = ReturnType<typeof record>

/** Puts a recorder before `server`, at an address of its own; what is disposed of is the recorder alone. */
export function record(server: TestServer) {
  const recorded = {
    ...server,
    url: '',
    /** All that came since a test emptied it. */
    requests: [] as Recording[],
    /** Whether all who wait are let go at once, as a server does with the oldest of many under one code. */
    isHasty: false,
    [Symbol.asyncDispose]: () => recorder.stop(true),
  }
  const recorder = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 60,
    async fetch(request) {
      const { pathname: path, search } = new URL(request.url)
      const { method, headers, signal } = request
      const body = await request.text()
      const recording = { path, search, headers: JSON.stringify([...headers]), body, answer: '', at: performance.now() }
      recorded.requests.push(recording)
      if (recorded.isHasty && path === '/api/receive/wait') return new Response(null, { status: 204 })
      const answer = await fetch(server.url + path + search, {
        ...{ method, headers, body: body || undefined, redirect: 'manual', signal },
        decompress: false,
      }).catch(() => new Response('The server is away', { status: 502 }))
      if (!path.startsWith('/api/')) return answer
      recording.answer = await answer.text()
      return new Response(recording.answer || null, { status: answer.status, headers: answer.headers })
    },
  })
  recorded.url = recorder.url.origin
  return recorded
}
