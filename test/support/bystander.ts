/** Whoever else asks while somebody attacks: a process of its own, so that it waits for nothing but the server. */
import { root } from './support.ts'

/** Milliseconds that all waited. */
export interface Waits {
  asked: number
  median: number
  longest: number
}

/** Asks `url` every few milliseconds, each time as another client, until the returned function is called. */
export function startBystander(url: string): () => Promise<Waits> {
  const child = Bun.spawn(['bun', '-e', `(${ask})(${JSON.stringify(url)})`], {
    cwd: root,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  return async () => {
    child.stdin.end()
    const waits = ((await new Response(child.stdout).json()) as number[]).toSorted((a, b) => a - b)
    return { asked: waits.length, median: waits[waits.length >> 1] ?? Number.NaN, longest: waits.at(-1) ?? Number.NaN }
  }
}

/** Runs in the process, and so sees nothing of this file. */
async function ask(url: string) {
  let isOver = false
  const input = (async () => {
    for await (const _ of Bun.stdin.stream()) {
    }
    isOver = true
  })()
  const waits: number[] = []
  for (let at = 0; !isOver; at++) {
    const started = performance.now()
    const headers = { 'x-client': `203.0.${at % 200}.${1 + (((at / 200) % 250) | 0)}` }
    await (await fetch(url, { headers, tls: { rejectUnauthorized: false } })).arrayBuffer()
    waits.push(performance.now() - started)
    await Bun.sleep(5)
  }
  await input
  // The first opens the connection.
  console.log(JSON.stringify(waits.slice(1)))
}
