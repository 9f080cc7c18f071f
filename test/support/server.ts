/** The real server for the tests in browsers: on a port of its own, over a store of its own, with a clock that can be put forward. */
import { createApp } from '../../index.ts'
import { testSettings, testStore } from './support.ts'

export type TestServer = Awaited<ReturnType<typeof testServer>>

/**
 * A server that listens on a free port. `env` sets settings as the environment would; limits are off unless they are
 * named there. The clock runs with the browser's, `clock.ahead` milliseconds before it.
 */
export async function testServer(env: Record<string, string> = {}) {
  const settings = testSettings({ HOST: '127.0.0.1', ...env })
  const stored = await testStore({
    codeRestSeconds: settings.CODE_REST_SECONDS,
    maxTexts: settings.MAX_TEXTS,
    maxStoredBytes: settings.MAX_STORED_BYTES,
  })
  const clock = { ahead: 0 }
  const listen = (port: number) =>
    createApp(stored.store, settings, () => Date.now() + clock.ahead).listen({
      port,
      hostname: settings.HOST,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    })
  let app = listen(0)
  const port = app.server?.port ?? 0
  const url = `http://127.0.0.1:${port}`
  const post = async <Answer>(path: string, body: unknown) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return (await response.json()) as Answer
  }

  return {
    url,
    clock,
    settings,
    query: stored.query,
    /** Asks a JSON route past every browser; returns the body of the answer. */
    post,
    /** Writes a text past every browser; returns its code. */
    write: async (text: string, more: { expiresIn?: number; password?: string; once?: boolean } = {}) =>
      (await post<{ code: string }>('/api/write', { text, ...more })).code,
    /** What is stored under `code`, as another computer would load it; undefined where there is nothing. */
    load: async (code: string, password?: string) =>
      (await post<{ text?: string }>('/api/load', { code, password })).text,
    /** Takes a code to wait under, as another computer would. */
    receive: (publicKey?: string) => post<{ code: string; receiveToken: string }>('/api/receive', { publicKey }),
    /** What was written to a code that waits; undefined where nothing was. */
    awaitText: async (code: string, receiveToken: string) =>
      (await post<{ text?: string }>('/api/receive/wait', { code, receiveToken })).text,
    /** Cuts every connection and refuses new ones, until `resume`. */
    async pause() {
      await app.stop(true)
    },
    resume() {
      app = listen(port)
    },
    async [Symbol.asyncDispose]() {
      await app.stop(true)
      await stored[Symbol.asyncDispose]()
    },
  }
}
