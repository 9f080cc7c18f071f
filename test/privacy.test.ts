/** The page that says what a server keeps: in every language, and true for its own settings. */
import { expect, test } from 'bun:test'
import { LANGUAGES } from '../extension/languages.ts'
import { testApp } from './support/support.ts'

const headings = (html: string) => html.match(/<h2>/g)?.length

test('the page about privacy is there in every language of the client, and links to the others', async () => {
  await using service = await testApp({ OPERATOR_NAME: 'A & B', OPERATOR_URL: 'https://example.com/us' })
  const english = await (await service.fetch('/privacy')).text()
  expect(english).toContain('<html lang="en"')
  for (const language of Object.keys(LANGUAGES)) {
    const tag = language.replace('_', '-')
    for (const answer of [
      await service.fetch(`/privacy?language=${tag}`),
      await service.fetch('/privacy', { headers: { 'accept-language': `${tag},xx;q=0.5` } }),
    ]) {
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html;charset=utf-8'])
      const html = await answer.text()
      expect(html).toContain(`<html lang="${tag}"`)
      expect(headings(html)).toBe(headings(english))
      expect(html).toContain('<a href="https://example.com/us" rel="noopener noreferrer">A &amp; B</a>')
      expect(html.match(/hreflang/g)).toHaveLength(Object.keys(LANGUAGES).length - 1)
    }
  }
})

/** What the stores ask for, as each language says it. */
const ASKED = {
  en: ['one purpose', 'not sold', 'third parties', 'advertising', 'creditworthiness', 'removing the extension'],
  ko: ['목적은 하나', '팔거나', '제3자', '광고', '신용도', '확장 프로그램을 제거하면'],
  ja: ['目的は一つ', '売る', '第三者', '広告', '信用力', '拡張機能を削除すれば'],
  zh_CN: ['一个用途', '不出售', '第三方', '广告', '信用', '移除扩展'],
} satisfies Record<keyof typeof LANGUAGES, string[]>

test.each(Object.entries(ASKED))('in %s it says all that the stores ask for', async (language, words) => {
  await using service = await testApp()
  const html = await (await service.fetch(`/privacy?language=${language.replace('_', '-')}`)).text()
  const text = html.replace(/<[^>]+>/g, '')
  expect(text).toContain(
    'The use of information received from Google APIs will adhere to the Chrome Web Store User Data Policy, including the Limited Use requirements.',
  )
  for (const word of words) expect(text).toContain(word)
})

test('it says what holds for this server’s own settings', async () => {
  await using service = await testApp({
    DEFAULT_EXPIRY_SECONDS: '1800',
    MAX_EXPIRY_SECONDS: '172800',
    CODE_REST_SECONDS: '7200',
  })
  const html = await (await service.fetch('/privacy')).text()
  for (const fact of ['30 minutes', '2 days', '2 hours', 'Limited Use', 'has not said who'])
    expect(html).toContain(fact)
  expect(await (await service.fetch('/privacy?language=ko')).text()).toContain('30분')
})

test('it comes under the same rules as the page, and its style is there', async () => {
  await using service = await testApp()
  const answer = await service.fetch('/privacy?language=%22%3E%3Cscript%3E')
  expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  const html = await answer.text()
  expect(html).not.toContain('<script')
  const style = /rel="stylesheet" href="([^"]+)"/.exec(html)?.[1]
  expect((await service.fetch(`/${style}`)).headers.get('content-type')).toContain('text/css')
})
