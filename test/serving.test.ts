import { expect, test } from 'bun:test'
import { testApp } from './support/support.ts'

const from = { 'x-client': '192.0.2.1' }

test('a page that is known is not sent again', async () => {
  await using service = await testApp()
  const first = await service.fetch('/')
  const etag = first.headers.get('etag') ?? ''
  for (const known of [etag, `"other", ${etag}`, '*']) {
    const again = await service.fetch('/', { headers: { 'if-none-match': known } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect(again.headers.get('content-security-policy')).toBe(first.headers.get('content-security-policy'))
  }
  expect((await service.fetch('/', { headers: { 'if-none-match': '"other"' } })).status).toBe(200)
})

test('a file is compressed for those who take that, and for no others', async () => {
  await using service = await testApp()
  const encodings: [accepted: string, encoding: string | null][] = [
    ['gzip, deflate, br', 'gzip'],
    ['br;q=1, gzip;q=0.5', 'gzip'],
    ['gzip;q=0', null],
    ['gzip; q=0.0, br', null],
    ['br', null],
    ['', null],
  ]
  for (const [accepted, encoding] of encodings) {
    const page = await service.fetch('/', { headers: { 'accept-encoding': accepted } })
    expect([accepted, page.headers.get('content-encoding')]).toEqual([accepted, encoding])
    const bytes = await page.bytes()
    expect(new TextDecoder().decode(encoding ? Bun.gunzipSync(bytes) : bytes)).toStartWith('<!doctype html>')
  }
})

test('the page says who runs the server, where that is known, in every form in which it is sent', async () => {
  const footer = /<p id=.?operator\b.*?<\/p>/
  const pageOf = async (env: Record<string, string>) => {
    await using service = await testApp(env)
    const plain = await service.fetch('/', { headers: { 'accept-encoding': '' } })
    const zipped = await service.fetch('/', { headers: { 'accept-encoding': 'gzip' } })
    const html = await plain.text()
    expect(new TextDecoder().decode(Bun.gunzipSync(await zipped.bytes()))).toBe(html)
    const etag = plain.headers.get('etag') ?? ''
    expect((await service.fetch('/', { headers: { 'if-none-match': etag } })).status).toBe(304)
    return { etag, footer: footer.exec(html)?.[0] ?? '' }
  }
  const [nobody, named, linked, bare] = [
    await pageOf({}),
    await pageOf({ OPERATOR_NAME: 'Kim & <b>Söhne</b>' }),
    await pageOf({ OPERATOR_NAME: 'Kim', OPERATOR_URL: 'https://www.example.com/?a="b"&c' }),
    await pageOf({ OPERATOR_URL: 'mailto:kim@example.com' }),
  ]
  expect(nobody.footer).toContain('hidden')
  expect(named.footer).toContain('>Kim &amp; &lt;b&gt;Söhne&lt;/b&gt;</span>')
  expect(linked.footer).toContain(
    '<a href="https://www.example.com/?a=&quot;b&quot;&amp;c" target="_blank" rel="noopener">Kim</a>',
  )
  expect(bare.footer).toContain('href="mailto:kim@example.com"')
  for (const { footer } of [named, linked, bare]) expect(footer).not.toContain('hidden')
  expect(new Set([nobody, named, linked, bare].map(({ etag }) => etag)).size).toBe(4)
})

test('what every browser asks for is no guess at a code and counts towards no limit', async () => {
  await using service = await testApp({ REQUESTS_PER_MINUTE: '1', MISSES_PER_HOUR: '1' })
  const statuses: [path: string, status: number][] = [
    ['/favicon.ico', 200],
    ['/robots.txt', 200],
    ['/app.webmanifest', 200],
    ['/offline.js', 200],
    ['/assets/popup-0ldh45h.js', 404],
  ]
  for (const [path, status] of [...statuses, ...statuses]) {
    expect([path, (await service.fetch(path, { headers: from })).status]).toEqual([path, status])
  }
})

test('what a phone shares past the service worker goes to the page, which says that it is lost', async () => {
  await using service = await testApp()
  const body = new FormData()
  body.set('text', 'shared')
  const answer = await service.fetch('/share', { method: 'POST', body })
  expect([answer.status, answer.headers.get('location')]).toEqual([303, '/#share-lost'])
})
