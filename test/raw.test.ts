import { afterAll, beforeAll, expect, test } from 'bun:test'
import { testApp } from './support/support.ts'

// One real server and real curl: these routes exist for what people type.
let service: Awaited<ReturnType<typeof testApp>>
let url: string
beforeAll(async () => {
  service = await testApp()
  service.app.listen({ port: 0, hostname: '127.0.0.1', maxRequestBodySize: Number.MAX_SAFE_INTEGER })
  url = `http://127.0.0.1:${service.app.server?.port}`
})
afterAll(async () => {
  await service.app.stop(true)
  await service[Symbol.asyncDispose]()
})

/** Runs curl; `status` is the last answer's. */
async function curl(args: string[], stdin: string | Uint8Array = '') {
  const process = Bun.spawn(['curl', '--silent', '--show-error', '--include', ...args], {
    stdin: typeof stdin === 'string' ? Buffer.from(stdin) : stdin,
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const output = Buffer.from(await new Response(process.stdout).arrayBuffer())
  let body = output
  let head = ''
  do {
    const end = body.indexOf('\r\n\r\n')
    head = body.subarray(0, end).toString()
    body = body.subarray(end + 4)
  } while (/^HTTP\/1.1 100/.test(head))
  const header = (name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]
  return { status: Number(/ (\d{3}) /.exec(head)?.[1]), header, body, text: body.toString() }
}

const write = async (text: string | Uint8Array, query = '', ...args: string[]) =>
  (await curl([...args, '--data-binary', '@-', `${url}/${query}`], text)).text.trim()

test('what is piped into curl comes back byte for byte', async () => {
  for (const text of [
    'one\ntwo\n\n',
    'key=value&other=%41',
    '\ufeffBOM\0NUL\r\n',
    '안녕 😀',
    '{"json":true}',
    'x'.repeat(1_048_576),
  ]) {
    const written = await curl(['--data-binary', '@-', `${url}/`], text)
    expect([written.status, written.header('content-type')]).toEqual([201, 'text/plain;charset=utf-8'])
    expect(written.text).toMatch(/^[A-Za-z]{4}\n$/)
    const loaded = await curl([`${url}/${written.text.trim()}`])
    expect([loaded.status, loaded.header('content-type')]).toEqual([200, 'text/plain;charset=utf-8'])
    expect(loaded.body.equals(Buffer.from(text))).toBe(true)
  }
})

test('a text written with curl is loaded by the API, and the other way round', async () => {
  const code = await write('from curl')
  expect((await service.api.load.post({ code })).data?.text).toBe('from curl')
  const { data } = await service.api.write.post({ text: 'from the API' })
  expect((await curl([`${url}/${data?.code}`])).text).toBe('from the API')
})

test('expires takes seconds, minutes, hours and days', async () => {
  for (const [expires, seconds] of [
    ['90', 90],
    ['90s', 90],
    ['10m', 600],
    ['1h', 3600],
    ['7d', 604_800],
    ['', 3600],
  ] as const) {
    const code = await write('a', expires && `?expires=${expires}`)
    const { data } = await service.api.load.post({ code })
    expect(Date.parse(data?.expiresAt ?? '') - service.clock.now).toBe(seconds * 1000)
  }
})

test('a raw write that asks for what cannot be is refused with a reason, and stores nothing', async () => {
  const before = service.query('SELECT count(*) AS n FROM text')
  const wrong: [args: string[], stdin: string | Uint8Array, status: number, reason: RegExp][] = [
    [[`${url}/?expires=1y`], 'a', 422, /expires: Must be like 90, 10m, 1h or 7d: from 60 seconds to 30 days/],
    [[`${url}/?expires=59s`], 'a', 422, /expires: Must/],
    [[`${url}/?expires=31d`], 'a', 422, /expires: Must/],
    [[`${url}/?expires=-1`], 'a', 422, /expires: Must/],
    [[`${url}/?expires=`], 'a', 422, /expires: Must/],
    [[`${url}/?expire=1h`], 'a', 422, /expire: There is only: expires, once\./],
    [[`${url}/?%0A=x`], 'a', 422, /^"\\n": There is only: expires, once\.\n$/],
    [[`${url}/?password=x`], 'a', 422, /password: There is only: expires, once\./],
    [[`${url}/?once=no`], 'a', 422, /once: Must be without a value, or true/],
    [[`${url}/`], '', 422, /text: The text is empty/],
    [[`${url}/`], Buffer.from('caf\xe9', 'latin1'), 422, /text: This is not a text: it is not UTF-8/],
    [[`${url}/`], Buffer.from([0xed, 0xa0, 0x80]), 422, /text: This is not a text: it is not UTF-8/],
    [[`${url}/`], 'x'.repeat(1_048_577), 413, /The text is larger than 1,048,576 bytes/],
    [
      ['-H', 'Transfer-Encoding: chunked', `${url}/`],
      'x'.repeat(1_048_577),
      413,
      /The text is larger than 1,048,576 bytes/,
    ],
    [['-H', 'Authorization: Bearer x', `${url}/`], 'a', 422, /password: Must come as HTTP Basic/],
    [['-u', ':', `${url}/`], 'a', 422, /password: Must come as HTTP Basic/],
    [['-u', `:${'x'.repeat(257)}`, `${url}/`], 'a', 422, /password: Must be 1 to 256 bytes/],
  ]
  for (const [args, stdin, status, reason] of wrong) {
    const answer = await curl(['--data-binary', '@-', ...args], stdin)
    expect([args, answer.status, answer.header('content-type')]).toEqual([args, status, 'text/plain;charset=utf-8'])
    expect(answer.text).toMatch(reason)
  }
  const form = await curl(['-F', 'file=@-', `${url}/`], 'a')
  expect([form.status, form.text]).toEqual([415, expect.stringContaining('curl --data-binary @FILE')])
  expect(service.query('SELECT count(*) AS n FROM text')).toEqual(before)
})

test('a password travels as HTTP Basic with an empty user', async () => {
  const code = await write('a', '', '-u', ':pässwörd: with a colon')
  const without = await curl([`${url}/${code}`])
  expect([without.status, without.header('www-authenticate')]).toEqual([
    401,
    'Basic realm="extextcloud", charset="UTF-8"',
  ])
  const wrong = await curl(['-u', ':wrong', `${url}/${code}`])
  expect([wrong.status, wrong.header('www-authenticate')]).toEqual([401, 'Basic realm="extextcloud", charset="UTF-8"'])
  expect((await curl(['-u', ':pässwörd: with a colon', `${url}/${code}`])).text).toBe('a')
})

test('a GET never takes a text that can be read only once, a POST does', async () => {
  for (const once of ['?once', '?once=1', '?once=true']) {
    const code = await write('a', once)
    for (const method of ['GET', 'HEAD']) {
      const answer = await service.fetch(`/${code}`, { method })
      expect(answer.status).toBe(409)
      if (method === 'GET') expect(await answer.text()).toContain('curl -X POST')
    }
    expect((await curl(['-X', 'POST', `${url}/${code}`])).text).toBe('a')
    expect((await curl(['-X', 'POST', `${url}/${code}`])).status).toBe(404)
  }
})

test('a POST also loads a text that can be read more than once', async () => {
  const code = await write('a')
  for (let i = 0; i < 2; i++) expect((await curl(['-X', 'POST', `${url}/${code}`])).text).toBe('a')
})

test('a POST with a body to a code takes nothing: its sender meant to write', async () => {
  const code = await write('a', '?once')
  const answer = await curl(['--data-binary', '@-', `${url}/${code}`], 'new text')
  expect([answer.status, answer.text]).toEqual([422, expect.stringContaining('to write one, POST it to /')])
  expect((await curl(['-X', 'POST', `${url}/${code}`])).text).toBe('a')
})

test('a browser is sent to the page with the code filled in, and loads nothing by that', async () => {
  const code = await write('a', '?once')
  const accept = 'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
  const answer = await curl(['-H', accept, `${url}/${code}`])
  expect([answer.status, answer.header('location'), answer.text]).toEqual([302, `/#${code}`, ''])
  expect(answer.header('vary')).toContain('Accept')
  expect((await curl(['-X', 'POST', `${url}/${code}`])).text).toBe('a')
})

test('white space that was copied along with a code does not matter', async () => {
  const code = await write('a')
  expect((await curl([`${url}/%20${code}%0A`])).text).toBe('a')
})

test('what is no code is told what a code is', async () => {
  for (const path of ['abc', 'abcde', 'ab1d', 'notes.txt', '%ff%ff', '한글']) {
    const answer = await service.fetch(`/${path}`)
    expect([answer.status, await answer.text()]).toEqual([422, expect.stringContaining('code: Must be four letters')])
  }
})
