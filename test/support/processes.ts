/** The real server as a process of its own, and what a client says to it. */
import { root, UNLIMITED } from './support.ts'

const started: Bun.Subprocess[] = []

/** For `afterEach`: ends what a test has started and left running. */
export async function stopAll() {
  for (const process of started.splice(0)) {
    process.kill('SIGKILL')
    await process.exited
  }
}

/** Starts the real server as a process of its own on a free port, and waits until it has said where it listens and where the data is. */
export async function start(
  path: string,
  env: Record<string, string> = {},
  wrapper: string[] = [],
  command = ['bun', 'index.ts'],
) {
  const process = Bun.spawn([...wrapper, ...command], {
    cwd: root,
    env: { PATH: Bun.env.PATH ?? '', PORT: '0', HOST: '127.0.0.1', DATABASE_URL: path, ...UNLIMITED, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  started.push(process)
  const output = { text: '' }
  const follow = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) output.text += decoder.decode(chunk, { stream: true })
  }
  const following = Promise.all([follow(process.stdout), follow(process.stderr)])
  const url = async () => {
    for (;;) {
      // The line about the data is the last that it says.
      const found = /listens on (\S+).*The data is in [^\n]*\n/s.exec(output.text)?.[1]
      if (found) return found
      if (process.exitCode !== null) throw new Error(`The server did not start: ${output.text}`)
      await new Promise(setImmediate)
    }
  }
  return {
    process,
    url: await url(),
    /** Asks it to end; returns its exit code once it has. */
    stop() {
      process.kill('SIGTERM')
      return process.exited
    },
    /** Its Prometheus metrics, where they are on. */
    metrics: async () => (await fetch(/Metrics are at (\S+)/.exec(output.text)?.[1] ?? '')).text(),
    /** All that it has said; complete once it has exited. */
    output: async () => {
      if (process.exitCode !== null) await following
      return output.text
    },
  }
}

export type Server = Awaited<ReturnType<typeof start>>

export const post = (server: Server, route: string, body: object) =>
  fetch(`${server.url}/api/${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** Writes a text; returns its code. Throws unless it is acknowledged. */
export async function write(server: Server, text: string): Promise<string> {
  const response = await post(server, 'write', { text })
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return ((await response.json()) as { code: string }).code
}

export const load = async (server: Server, code: string) =>
  ((await (await post(server, 'load', { code })).json()) as { text?: string }).text
