/**
 * So many who wait for a text, each another client: `waiters.ts URL COUNT`. Says a line when the codes are taken, when all
 * wait, and when each has its text; goes on at a line of its input.
 */
import { connect, type Socket } from 'node:net'

const [url = '', count = '0'] = process.argv.slice(2)
const { hostname, port } = new URL(url)

/** Requests that are under way at a time, so that it is the waiting that is measured. */
const AT_ONCE = 50

const clientOf = (i: number) => `100.${i >> 16}.${(i >> 8) & 255}.${i & 255}`

async function post<Answer>(path: string, i: number, body: object): Promise<Answer> {
  const headers = { 'content-type': 'application/json', 'x-client': clientOf(i) }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}

async function forAll(work: (i: number) => Promise<void>) {
  let next = 0
  const one = async () => {
    while (next < Number(count)) await work(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}

const lents: { code: string; receiveToken: string }[] = []
await forAll(async (i) => {
  lents[i] = await post('/api/receive', i, {})
})
console.log('taken')

const input = console[Symbol.asyncIterator]()
await input.next()
const sockets: Socket[] = []
const answers = lents.map(({ code, receiveToken }, i) => {
  const body = JSON.stringify({ code, receiveToken })
  const head = `POST /api/receive/wait HTTP/1.1\r\nHost: ${hostname}\r\nX-Client: ${clientOf(i)}\r\nContent-Type: application/json`
  const socket = connect(Number(port), hostname, () =>
    socket.write(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
  )
  sockets.push(socket)
  return new Promise<string>((resolve, reject) =>
    socket.once('data', (data) => resolve(`${data}`)).once('error', reject),
  )
})
await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
console.log('waiting')

await input.next()
await forAll(async (i) => void (await post('/api/write', i, { text: `to ${lents[i]?.code}`, to: lents[i]?.code })))
const texts = (await Promise.all(answers)).map((answer) => /to (\w{4})/.exec(answer)?.[1])
if (texts.some((code, i) => code !== lents[i]?.code)) throw new Error('A text went astray')
console.log('done')
process.exit(0)
