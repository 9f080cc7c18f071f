/** What is read out of a text: a code, a link, and whether it wants letters of one width. */
import { expect, test } from 'bun:test'
import { readCode } from '../extension/code.ts'
import { linkIn, spelledHost, wantsMonospace } from '../extension/text-shape.ts'

test.each([
  ['ａＢｃＤ', 'aBcD'],
  ['aB\u200bcD', 'aBcD'],
  ['\u2068aBcD\u2069', 'aBcD'],
  ['a\u00a0B\u3000c D', 'aBcD'],
  ['https://ｅｘ.example/#aBcD', 'aBcD'],
  ['https://ex.example/#>aBcD', 'aBcD'],
  ['https://ex.example/#%3EaBcD', 'aBcD'],
  ['small a · BIG B · small c · BIG D', 'aBcD'],
  ['small a · BIG B · small c · BIG D\nCopied. Gone in 1 hour.', 'aBcD'],
  ['소문자 a · 대문자 B · 소문자 c · 대문자 D', 'aBcD'],
  ['小文字 a · 大文字 B · 小文字 c · 大文字 D', 'aBcD'],
  ['小写 a · 大写 B · 小写 c · 大写 D', 'aBcD'],
  ['Your code: aBcD', 'aBcD'],
  ['コード：aBcD', 'aBcD'],
  ['one thing · two more · that · this', undefined],
  ['look here', undefined],
  ['абвг', undefined],
])('the code in %j is %p', (text, code) => {
  expect(readCode(text)).toBe(code)
})

test.each([
  ['https://example.com/a?b#c', 'https://example.com/a?b#c'],
  ['A title\nhttps://example.com/\n', 'https://example.com/'],
  ['A title\r\n\r\n  https://example.com/  \r\n', 'https://example.com/'],
  ['HTTPS://EXAMPLE.COM', 'https://example.com/'],
  ['see https://example.com/', undefined],
  ['https://example.com/\nand more', undefined],
  ['https://example.com/\nhttps://example.org/', undefined],
  ['https://good.example@evil.example/', undefined],
  ['https://good.example:pass@evil.example/', undefined],
  ['https://@evil.example/ x', undefined],
  ['javascript:alert(1)', undefined],
  ['file:///etc/passwd', undefined],
  ['https://', undefined],
])('%j leads to %p', (text, link) => {
  expect(linkIn(text)?.href).toBe(link)
})

test('a host that is not written in plain letters is spelled out', () => {
  const spelled = (text: string) => spelledHost(linkIn(text) as URL)
  expect(spelled('https://аpple.com/')).toBe('xn--pple-43d.com')
  expect(spelled('https://한국.example:8443/')).toBe('xn--3e0b707e.example:8443')
  expect(spelled('https://www.xn--pple-43d.com/')).toBe('www.xn--pple-43d.com')
  expect(spelled('https://apple.com/аpple')).toBeUndefined()
})

test.each([
  ['name\tsize\nlead\t3', true],
  ['name    size\npear       3', true],
  ['if (ready) {\n  start()\n}\nstop();', true],
  ['#!/bin/sh\n$ ls\n$ pwd', true],
  ['list:\n  one\n  two', true],
  ['Dear all,\n\nsee you tomorrow.\nYours, Ada', false],
  ['First.  Second.\nThird.  Fourth.', false],
  ['one\ttab', false],
  ['', false],
])('%j wants letters of one width: %p', (text, wants) => {
  expect(wantsMonospace(text)).toBe(wants)
})
