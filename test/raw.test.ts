import { afterAll, beforeAll, expect, test } from 'bun:test'
import { temporaryPath, testApp } from './support/support.ts'

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
  const latin1 = `Authorization: Basic ${Buffer.from(':p\xe4ss', 'latin1').toString('base64')}`
  const wrong: [args: string[], stdin: string | Uint8Array, status: number, reason: RegExp][] = [
    [[`${url}/?expires=1y`], 'a', 422, /expires: Must be like 90, 10m, 1h or 7d: from 60 seconds to 30 days/],
    [[`${url}/?expires=59s`], 'a', 422, /expires: Must/],
    [[`${url}/?expires=31d`], 'a', 422, /expires: Must/],
    [[`${url}/?expires=-1`], 'a', 422, /expires: Must/],
    [[`${url}/?expires=`], 'a', 422, /expires: Must/],
    [[`${url}/?expire=1h`], 'a', 422, /expire: There is only: expires, once, password\./],
    [[`${url}/?%0A=x`], 'a', 422, /^"\\n": There is only: expires, once, password\.\n$/],
    [[`${url}/?password=x`], 'a', 422, /password: Must be without a value\. It demands a password/],
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
    [['-u', ':', `${url}/`], 'a', 422, /password: Must come as HTTP Basic with an empty user/],
    [['-H', 'Authorization: Basic', `${url}/`], 'a', 422, /password: Must come as HTTP Basic/],
    [['-H', 'Authorization: Basic :secret', `${url}/`], 'a', 422, /password: Must come as HTTP Basic/],
    [['-H', latin1, `${url}/`], 'a', 422, /password: It is not UTF-8/],
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

test('a user’s name is refused where a text is written, with both likely reasons, and no text is stored', async () => {
  const before = service.query('SELECT count(*) AS n FROM text')
  const own = `Authorization: Basic ${btoa(':secret')}`
  for (const args of [
    ['-u', 'me:secret'],
    ['-u', 'me:'],
    ['-u', ' :secret'],
    ['-H', `Authorization: basic  ${btoa('me:secret')}`],
    // A proxy's login beside one's own.
    ['-H', `Authorization: Basic ${btoa('admin:admin')}`, '-H', own],
    ['-H', own, '-H', `Authorization: Basic ${btoa('admin:admin')}`],
  ]) {
    for (const query of ['', '?password']) {
      const answer = await curl([...args, '--data-binary', '@-', `${url}/${query}`], 'a')
      expect([args, answer.status]).toEqual([args, 422])
      expect(answer.text).toMatch(/curl -u :PASSWORD .* a proxy in front/)
      expect(answer.text).not.toContain('secret')
    }
  }
  expect(service.query('SELECT count(*) AS n FROM text')).toEqual(before)
})

test('other schemes are as if they had not come, and do not hide a password', async () => {
  const bearer = ['-H', 'Authorization: Bearer x']
  const digest = ['-H', 'Authorization: Digest username="Basic OnNlY3JldA==", realm="a, b", nonce="c"']
  for (const args of [bearer, digest, ['-H', 'Authorization: BasicOnNlY3JldA==']]) {
    const code = await write('a', '', ...args)
    expect((await curl([`${url}/${code}`])).text).toBe('a')
    expect((await curl([...args, `${url}/${code}`])).text).toBe('a')
    expect((await curl([...args, '-X', 'POST', `${url}/${code}`])).text).toBe('a')
  }
  const both = [...bearer, '-H', `Authorization: Basic ${btoa(':secret')}`]
  const code = await write('a', '', ...both)
  expect((await curl([`${url}/${code}`])).status).toBe(401)
  expect((await curl([...both, `${url}/${code}`])).text).toBe('a')
})

test('a load ignores credentials that are not for it', async () => {
  const open = await write('a')
  const locked = await write('b', '', '-u', ':secret')
  for (const args of [
    ['-u', 'me:secret'],
    ['-u', 'me:'],
    ['-u', ':'],
    ['-H', 'Authorization: Bearer x'],
  ]) {
    expect((await curl([...args, `${url}/${open}`])).text).toBe('a')
    const refused = await curl([...args, `${url}/${locked}`])
    expect([args, refused.status, refused.text]).toEqual([args, 401, expect.stringContaining('has a password')])
  }
  const proxy = ['-H', `Authorization: Basic ${btoa('admin:admin')}`]
  const own = ['-H', `Authorization: Basic ${btoa(':secret')}`]
  expect((await curl([...proxy, ...own, `${url}/${locked}`])).text).toBe('b')
  const latin1 = `Authorization: Basic ${Buffer.from(':p\xe4ss', 'latin1').toString('base64')}`
  expect((await curl(['-H', latin1, `${url}/${locked}`])).text).toContain('not UTF-8')
})

test('the JSON routes do not look at the header at all', async () => {
  for (const authorization of [`Basic ${btoa('admin:admin')}`, `Basic ${btoa(':secret')}`, 'Basic', 'Bearer x']) {
    const written = await service.post('/api/write', { text: 'a' }, { authorization })
    const { code } = (await written.json()) as { code: string }
    expect((await service.post('/api/load', { code })).status).toBe(200)
  }
})

test('?password demands a password, so that clients which send it only when they are asked can write with one', async () => {
  const large = 'x'.repeat(1_000_000)
  const before = service.query('SELECT count(*) AS n FROM text')
  const asked = await curl(['--data-binary', '@-', `${url}/?password`], large)
  expect([asked.status, asked.header('www-authenticate')]).toEqual([401, 'Basic realm="extextcloud", charset="UTF-8"'])
  expect((await curl(['-H', 'Authorization: Bearer x', '-d', 'a', `${url}/?password&once`])).status).toBe(401)
  expect(service.query('SELECT count(*) AS n FROM text')).toEqual(before)

  const file = temporaryPath('body')
  await Bun.write(file, large)
  for (const client of [
    ['curl', '-s', '-u', ':secret', '--data-binary', `@${file}`],
    ['curl', '-s', '--anyauth', '-u', ':secret', '--data-binary', `@${file}`],
    ...(Bun.which('wget') ? [['wget', '-qO-', '--user=', '--password=secret', `--post-file=${file}`]] : []),
  ]) {
    const code = (await Bun.$`${client} ${`${url}/?password&expires=1h`}`.text()).trim()
    expect([client, (await curl([`${url}/${code}`])).status]).toEqual([client, 401])
    expect(await Bun.$`curl -s --anyauth -u :secret ${`${url}/${code}`}`.text()).toBe(large)
  }
})

test('HEAD has the headers of GET, and takes nothing', async () => {
  const [many, once, locked] = [await write('한글'), await write('a', '?once'), await write('a', '', '-u', ':p')]
  for (const path of [many, once, locked, 'abcde', 'no/such', '', 'health', 'openapi/json', 'robots.txt', 'assets/x']) {
    for (const accept of ['*/*', 'text/html']) {
      const told = async (method: string): Promise<Record<string, unknown>> => {
        const { status, headers } = await fetch(`${url}/${path}`, { method, headers: { accept }, redirect: 'manual' })
        return { ...Object.fromEntries(headers), status, date: '' }
      }
      const get = await told('GET')
      expect([path, await told('HEAD')]).toEqual([path, get])
      if (get.status !== 302) expect([path, get['content-type']]).toEqual([path, expect.any(String)])
    }
  }
  expect((await curl(['-X', 'POST', `${url}/${once}`])).text).toBe('a')
})

test('a method that an address does not take is refused with those that it takes, before the body is read', async () => {
  const [page, code, api] = ['GET, HEAD, POST', 'GET, HEAD, POST', 'POST']
  for (const [method, path, allow] of [
    ['PUT', '/', page],
    ['PUT', '/notes.txt', code], // curl -T notes.txt
    ['DELETE', '/abcd', code],
    ['PATCH', '/abcd/', code],
    ['PROPFIND', '/', page],
    ['GET', '/api/write', api],
    ['HEAD', '/api/load', api],
    ['PUT', '/api/erase', api],
    ['POST', '/health', 'GET, HEAD'],
    ['POST', '/assets/x', 'GET, HEAD'],
    ['POST', '/robots.txt', 'GET, HEAD'],
    ['GET', '/share', 'POST'],
  ] as const) {
    const answer = await service.fetch(path, { method })
    expect([method, path, answer.status, answer.headers.get('allow')]).toEqual([method, path, 405, allow])
    const body = await answer.text()
    if (method !== 'HEAD' && /^.(api|health)/.test(path)) expect(body).toContain('"method_not_allowed"')
  }
  let pulled = 0
  const body = new ReadableStream({ pull: (controller) => controller.enqueue(Buffer.alloc(1000 * ++pulled)) })
  expect((await service.fetch('/notes.txt', { method: 'PUT', body })).status).toBe(405)
  expect(pulled).toBeLessThan(10)
  expect((await service.fetch('/no/such', { method: 'PUT' })).status).toBe(404)

  const file = temporaryPath('upload')
  await Bun.write(file, 'x'.repeat(1000))
  const upload = await curl(['-T', file, `${url}/`])
  expect([upload.status, upload.text]).toEqual([405, expect.stringContaining('To write a text, POST it to /')])
})

test('a browser at an address with nothing behind it is sent to the page, which says so; programs are told in words', async () => {
  const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
  for (const path of ['/about', '/aBcDe', '/no/such', '/aBcD.', '/한글', '/assets/old.js']) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await service.fetch(path, { method, headers: browser })
      expect([path, answer.status, answer.headers.get('location')]).toEqual([path, 302, '/#wrong-address'])
    }
    expect([404, 422]).toContain((await service.fetch(path)).status)
    expect([404, 405, 415, 422]).toContain((await service.fetch(path, { method: 'POST', headers: browser })).status)
  }
  for (const path of ['/api/nothing', '/api/write', '/openapi/nothing']) {
    const answer = await service.fetch(path, { headers: browser })
    expect([404, 405]).toContain(answer.status)
    expect(answer.headers.get('content-type')).toContain('application/json')
  }
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

test('a POST with a body to a code that nobody waits under takes nothing: its sender meant to write', async () => {
  const code = await write('a', '?once')
  const answer = await curl(['--data-binary', '@-', `${url}/${code}`], 'new text')
  expect([answer.status, answer.text]).toEqual([
    404,
    expect.stringContaining('Nobody waits for a text under this code'),
  ])
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
