/** Receiving as it is done: with curl, with a server that is stopped and killed, and with thousands who wait. */
import { afterEach, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { poll } from './support/poll.ts'
import { post, type Server, start, stopAll, write } from './support/processes.ts'
import { filledDatabase, openShell } from './support/support.ts'

afterEach(stopAll)

interface Lent {
  code: string
  receiveToken: string
}

const json = async <Answer>(answer: Promise<Response>) => (await (await answer).json()) as Answer
const receive = (server: Server) => json<Lent>(post(server, 'receive', {}))
const waitFor = (server: Server, { code, receiveToken }: Lent, done?: true) =>
  post(server, 'receive/wait', { code, receiveToken, done })

/** curl, that waits for a text: what it has said so far, and its exit code. */
function curlReceive(server: Server) {
  const process = Bun.spawn(['curl', '--silent', '-N', '-d', '', `${server.url}/receive`], { stdout: 'pipe' })
  const said = { text: '' }
  const ended = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of process.stdout) said.text += decoder.decode(chunk, { stream: true })
    return process.exited
  })()
  const code = () => poll('the code', async () => /^([A-Za-z]{4})\n/.exec(said.text)?.[1])
  return { process, said, ended, code }
}

const textsIn = (path: string) => {
  using shell = openShell(path)
  return shell.query<{ n: number }, []>('SELECT count(*) AS n FROM text').get()?.n
}

test('curl is told its code at once, and prints what another curl writes to it, byte for byte, and nothing stays', async () => {
  const path = await filledDatabase()
  const server = await start(path)
  const text = 'one\n\n한 🍳\0 no newline at the end'
  const console = curlReceive(server)
  const code = await console.code()
  const written = Bun.spawn(['curl', '--silent', '--data-binary', '@-', `${server.url}/${code}`], {
    stdin: Buffer.from(text),
    stdout: 'pipe',
  })
  expect(await new Response(written.stdout).text()).toBe(`${code}\n`)
  expect(await console.ended).toBe(0)
  expect(console.said.text).toBe(`${code}\n${text}`)
  await poll('the end of the text', async () => textsIn(path) === 0)
})

test('curl that goes away gives its code back', async () => {
  const path = await filledDatabase()
  const server = await start(path)
  const console = curlReceive(server)
  await console.code()
  console.process.kill('SIGINT')
  await poll('the end of the waiting', async () => textsIn(path) === 0)
})

test('a stop lets all who wait go with an answer, and exits 0; curl does not take it for the end of a text', async () => {
  const server = await start(await filledDatabase(), { METRICS_PORT: '0' })
  const lents = await Promise.all(Array.from({ length: 100 }, () => receive(server)))
  const waits = lents.map((lent) => waitFor(server, lent))
  const console = curlReceive(server)
  await console.code()
  await poll('all waits', async () => (await server.metrics()).includes('extextcloud_waiting_requests 101'))
  expect(await server.metrics()).toContain('extextcloud_receiving_codes 101')
  const stopped = server.stop()
  expect(new Set((await Promise.all(waits)).map(({ status }) => status))).toEqual(new Set([204]))
  expect(await stopped).toBe(0)
  expect(await console.ended).not.toBe(0)
})

test('kill -9 between writing and fetching loses no text, and gives it to nobody else', async () => {
  const path = await filledDatabase()
  let server = await start(path)
  const lent = await receive(server)
  expect((await post(server, 'write', { text: 'for one', to: lent.code })).status).toBe(201)
  server.process.kill('SIGKILL')
  await server.process.exited
  server = await start(path)
  expect((await post(server, 'load', { code: lent.code })).status).toBe(404)
  expect((await waitFor(server, { ...lent, receiveToken: 'A'.repeat(22) })).status).toBe(404)
  for (let i = 0; i < 2; i++) expect(await json(waitFor(server, lent))).toEqual({ text: 'for one' })
  expect((await waitFor(server, lent, true)).status).toBe(204)
})

test('a wait is not cut off by the silence, five thousand at once are answered, and texts are loaded meanwhile', async () => {
  const server = await start(await filledDatabase())
  const { port } = new URL(server.url)
  const quiet = waitFor(server, await receive(server))
  const lents: Lent[] = []
  while (lents.length < 1250) lents.push(...(await Promise.all(Array.from({ length: 125 }, () => receive(server)))))
  // Past fetch, which opens no more than 256 connections.
  const answers: string[] = []
  const sockets = lents.flatMap(({ code, receiveToken }) =>
    Array.from({ length: 4 }, () => {
      const body = JSON.stringify({ code, receiveToken })
      const head = `POST /api/receive/wait HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(`${head}\r\n\r\n${body}`))
      socket.on('data', (data) => answers.push(data.toString()))
      socket.on('error', (error) => answers.push(error.message))
      return socket
    }),
  )
  const loaded = await write(server, 'meanwhile')
  await poll('loads among those who wait', async () => (await fetch(`${server.url}/${loaded}`)).ok)
  expect(answers).toEqual([])
  for (const { code } of lents) expect((await post(server, 'write', { text: `to ${code}`, to: code })).status).toBe(201)
  await poll('an answer for each', async () => answers.length >= 5000, 20_000)
  const texts = answers.flatMap((answer) => /\{"text":"to (\w{4})"\}/.exec(answer)?.[1] ?? [])
  expect(texts.toSorted()).toEqual(lents.flatMap(({ code }) => Array<string>(4).fill(code)).toSorted())
  for (const socket of sockets) socket.destroy()
  // Bun would cut it off after ten seconds.
  expect((await quiet).status).toBe(204)
}, 60_000)
