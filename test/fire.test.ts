/** The server under fire: broken, hostile and endless requests, thousands of connections, many crashes. */
import { afterEach, expect, test } from 'bun:test'
import { mkdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { CODES } from '../db/store.ts'
import { poll } from './support/poll.ts'
import { load, post, type Server, start, stopAll, write } from './support/processes.ts'
import { canMount, NAMESPACE } from './support/small-disk.ts'
import { checkInvariant, filledDatabase, temporaryPath } from './support/support.ts'

afterEach(stopAll)

const dial = (server: Server) =>
  new Promise<Socket>((resolve) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => resolve(socket))
    socket.on('error', () => {})
  })

/** Sends bytes as they are; returns all that comes until the server closes the connection. */
async function talk(server: Server, bytes: string | Buffer): Promise<string> {
  const socket = await dial(server)
  let answer = ''
  socket.on('data', (data) => {
    answer += data
  })
  socket.write(bytes)
  await new Promise((resolve) => socket.once('close', resolve))
  return answer
}

test('what is no HTTP is refused, and the connection closed', async () => {
  const server = await start(await filledDatabase())
  const head = 'POST / HTTP/1.1\r\nHost: a\r\n'
  const broken: [name: string, bytes: string | Buffer, status: number][] = [
    ['nonsense', 'NONSENSE\r\n\r\n', 400],
    ['another version', 'GET / HTTP/9.9\r\nHost: a\r\n\r\n', 505],
    ['TLS', Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 0xc4, 3, 3]), 400],
    ['two lengths', `${head}Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde`, 400],
    [
      'a length and chunks',
      `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n`,
      400,
    ],
    ['a chunk without a size', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400],
    ['a flood of headers', `${head}${'x: y\r\n'.repeat(50_000)}\r\n`, 431],
    ['an endless address', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
  ]
  for (const [name, bytes, status] of broken) {
    const answers = (await talk(server, bytes)).match(/HTTP\/1\.1 \d+/g)
    expect([name, answers]).toEqual([name, [`HTTP/1.1 ${status}`]])
  }
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})

test('requests that come all at once on one connection are answered one after the other', async () => {
  const server = await start(await filledDatabase())
  const code = await write(server, 'piped')
  const requests = ['/health', `/${code}`, '/health', `/${code}`].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n`)
  const answer = await talk(server, `${requests.join('\r\n')}Connection: close\r\n\r\n`)
  expect(answer.match(/\{"status":"ok"\}|piped/g)).toEqual(['{"status":"ok"}', 'piped', '{"status":"ok"}', 'piped'])
})

test('a body without an end is refused once it is too large, and takes no more memory', async () => {
  const server = await start(await filledDatabase())
  const socket = await dial(server)
  let answer = ''
  socket.on('data', (data) => {
    answer += data
  })
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
  await poll('the refusal', async () => {
    for (let i = 0; i < 8 && !socket.writableNeedDrain; i++) socket.write(chunk)
    return answer.startsWith('HTTP/1.1 413')
  })
  socket.destroy()
})

test('what is compressed is not unpacked: it is no text', async () => {
  const server = await start(await filledDatabase())
  const bomb = Bun.gzipSync(Buffer.alloc(50_000_000, 'a'))
  const headers = { 'content-encoding': 'gzip' }
  expect((await fetch(server.url, { method: 'POST', headers, body: bomb })).status).toBe(422)
  const json = { ...headers, 'content-type': 'application/json' }
  expect((await fetch(`${server.url}/api/write`, { method: 'POST', headers: json, body: bomb })).status).toBe(400)
})

test('connections that never finish their request are closed, and hinder nobody meanwhile', async () => {
  const server = await start(await filledDatabase())
  const slow = await Promise.all(Array.from({ length: 200 }, () => dial(server)))
  const closed = slow.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve)))
  for (const socket of slow) socket.write('POST /api/write HTTP/1.1\r\nHost: a\r\nX-Slow: ')
  expect(await load(server, await write(server, 'meanwhile'))).toBe('meanwhile')
  await Promise.all(closed) // Bun's own idle timeout: about ten seconds.
})

test('five thousand idle connections hinder nobody', async () => {
  const server = await start(await filledDatabase(), {}, ['sh', '-c', 'ulimit -n 8192; exec "$@"', 'sh'])
  const idle: Socket[] = []
  while (idle.length < 5000) {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => dial(server)))
    await Promise.all(
      sockets.map((socket) => {
        socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n')
        return new Promise((resolve) => socket.once('data', resolve))
      }),
    )
    idle.push(...sockets)
  }
  expect(await load(server, await write(server, 'among thousands'))).toBe('among thousands')
  for (const socket of idle) socket.destroy()
})

test.skipIf(!canMount && process.env.CI !== 'true')(
  'a disk that can only be read ends the start with a clear line',
  async () => {
    const folder = temporaryPath('read-only')
    mkdirSync(folder)
    const source = await filledDatabase()
    const prepare = `mount -t tmpfs tmpfs ${folder} && cp ${source} ${folder}/a.db && mount -o remount,ro ${folder} && exec "$@"`
    const wrapper = [...NAMESPACE, 'sh', '-c', prepare, 'sh']
    await expect(start(join(folder, 'a.db'), {}, wrapper)).rejects.toThrow(/extextcloud: Cannot open \S+: EROFS/)
  },
)

test('ten crashes in a row lose no acknowledged text', async () => {
  const path = await filledDatabase()
  const acknowledged = new Map<string, string>()
  for (let round = 0; round < 10; round++) {
    const server = await start(path)
    for (const [code, text] of [...acknowledged].slice(-4)) expect(await load(server, code)).toBe(text)
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      const text = `${round} ${writer}`
      acknowledged.set(await write(server, text), text)
    })
    await Promise.race(writers)
    server.process.kill('SIGKILL')
    await Promise.allSettled(writers)
    await server.process.exited
  }
  const server = await start(path)
  for (const [code, text] of acknowledged) expect(await load(server, code)).toBe(text)
  await server.stop()
  checkInvariant(path)
})

test('an hour of people, as fast as it goes, leaves the memory as it was', async () => {
  const server = await start(await filledDatabase(CODES), { LOG_LEVEL: 'error', METRICS_PORT: '0' })
  const memory = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))?.[1]) / 1024
  /** What a person does: writes, loads, mistypes, erases. */
  async function visit(i: number) {
    const answer = await post(server, 'write', { text: 'x'.repeat((i * 997) % 20_000) || 'x', once: i % 5 === 0 })
    const { code, eraseToken } = (await answer.json()) as { code: string; eraseToken: string }
    await load(server, code)
    await (await fetch(`${server.url}/${code === 'zzzz' ? 'zzzy' : 'zzzz'}`)).text()
    if (i % 2 === 0) await (await post(server, 'erase', { code, eraseToken })).text()
  }
  const visits = async (count: number) => {
    for (let i = 0; i < count; i += 20) await Promise.all(Array.from({ length: 20 }, (_, j) => visit(i + j)))
  }
  await visits(2000)
  const before = memory()
  await visits(4000)
  expect(memory() - before).toBeLessThan(60) // Mebibytes.
})
