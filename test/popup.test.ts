/** What a person does with a text, in every home of the popup and in every browser. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Kind, Page } from './support/browsers.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import {
  askFor,
  describeIn,
  isReady,
  load,
  loadedText,
  openExtension,
  openPage,
  tells,
  write,
  writtenCode,
} from './support/homes.ts'
import { type TestServer, testServer } from './support/server.ts'
import { MINUTE } from './support/support.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server[Symbol.asyncDispose]())

// Not in all four: what two of them share, the other two have in `passing.test.ts` and `extension.test.ts`.
for (const [kind, home, opener] of [
  [CHROMIUM, 'on the web page', openPage],
  [FIREFOX, 'in the extension', openExtension],
] as [Kind, string, typeof openExtension][]) {
  describeIn(kind, (browser) => {
    describe(home, () => behaviours((to = server) => opener(browser(), to), home))

    function behaviours(open: (to?: TestServer) => Promise<Page>, home: string) {
      test('a text is written with Control and Enter, and its code is spelled out', async () => {
        const page = await open()
        await page.type('from the keyboard', '#write-text')
        await page.press('Control', 'Enter')
        const code = await writtenCode(page)
        expect(await server.load(code)).toBe('from the keyboard')
        const spelled = [...code]
          .map((letter) => (/[A-Z]/.test(letter) ? `BIG ${letter}` : `small ${letter}`))
          .join(' · ')
        expect(await page.text('#written-spelling')).toBe(spelled)
      })

      test('code, link and loaded text are copied', async () => {
        const page = await open()
        const code = await write(page, 'to the clipboard\nand on')
        await page.click('#copy-code')
        await page.says('#copy-code', /^✓\sCopied$/)
        await tells(page, 'copiedCode')
        await page.says('#copy-code', /^Copy code$/)
        expect(await browser().clipboard()).toBe(code)
        await page.click('#copy-link')
        await tells(page, 'copiedLink')
        expect(await browser().clipboard()).toBe(`${server.url}/#${code}`)
        expect(await load(page, code)).toBe('to the clipboard\nand on')
        await page.click('#copy-text')
        await tells(page, 'copiedText')
        expect(await browser().clipboard()).toBe('to the clipboard\nand on')
      })

      test('the password is asked for only where a text has one, and a wrong one says how many tries are left', async () => {
        const page = await open()
        const code = await server.write('secret', { password: 'right 비밀' })
        await page.click('#load-tab')
        expect(await page.text('#load-password')).toBe('')
        await page.seesNo('#load-password')
        await page.type(code, '#load-code')
        await page.click('#load-submit')
        await tells(page, 'error_not_sealed')
        await page.type('wrong', '#load-password')
        await page.press('Enter')
        expect(await tells(page, 'error_wrong_password')).toMatch(/\b4\b/)
        await page.fill('#load-password', 'right 비밀')
        await page.click('#load-submit')
        expect(await loadedText(page)).toBe('secret')
      })

      test('after five wrong passwords the text is locked, and the wait is counted down', async () => {
        const page = await open()
        const code = await server.write('secret', { password: 'right' })
        await Promise.all(Array.from({ length: 5 }, () => server.load(code, 'wrong')))
        await askFor(page, code)
        await page.type('right', '#load-password')
        await page.click('#load-submit')
        await tells(page, 'error_too_many_passwords')
        await page.says('#wait', /(29|30) min/)
        server.clock.ahead += 21 * MINUTE
        await page.click('#load-submit')
        const first = await page.says('#wait', /[89] minutes \d+ second/)
        await page.until(
          'the wait to count down',
          (first) => document.querySelector('#wait')?.textContent !== first,
          first,
        )
        server.clock.ahead += 10 * MINUTE
        await page.click('#load-submit')
        expect(await loadedText(page)).toBe('secret')
      })

      test('a text to be read once is gone after it, and says so; a wrong password does not take it', async () => {
        const page = await open()
        const code = await write(page, 'for one reader', { once: true, password: 'right' })
        const reader = await open()
        await askFor(reader, code)
        await reader.type('wrong', '#load-password')
        await reader.click('#load-submit')
        await tells(reader, 'error_wrong_password')
        await reader.fill('#load-password', 'right')
        await reader.click('#load-submit')
        expect(await loadedText(reader)).toBe('for one reader')
        await reader.says('#loaded-note', /once/)
        const late = await open()
        await askFor(late, code)
        await tells(late, 'error_not_found')
      })

      test('a text is gone when its time is over, and the time that was chosen is for this text alone', async () => {
        await using server = await testServer()
        const page = await open(server)
        const code = await write(page, 'ten minutes', { expiresIn: 600 })
        await page.says('#written-left', /\b(9|10) min/)
        const [stored] = server.query<{ lives: number }>(
          'SELECT expires_at - created_at AS lives FROM text WHERE code = ?',
          code,
        )
        expect(stored?.lives).toBe(10 * MINUTE)
        server.clock.ahead += 10 * MINUTE
        await askFor(page, code)
        await tells(page, 'error_not_found')
        expect(await page.text('#load-code')).toBe(code)
        await page.click('#write-tab')
        await page.click('#write-another')
        expect(await page.text('#write-expiry')).toBe('3600')
        await page.type('another', '#write-text')
        await page.choose('#write-expiry', '86400')
        await page.reload()
        await isReady(page)
        expect(await page.text('#write-expiry')).toBe('86400')
      })

      test('erasing asks once, then the text is gone for everyone', async () => {
        const page = await open()
        const code = await write(page, 'a mistake')
        await page.sees('#erase')
        // A double click.
        await page.evaluate(() => {
          const erase = document.querySelector<HTMLElement>('#erase')
          erase?.focus()
          erase?.click()
          erase?.click()
        })
        await tells(page, 'eraseAgain')
        expect(await server.load(code)).toBe('a mistake')
        await page.click('#copy-code')
        await page.seesNo('#erase.armed')
        await page.click('#erase')
        await secondThought(page)
        await page.click('#erase')
        await tells(page, 'erased')
        expect(await server.load(code)).toBeUndefined()
        await page.seesNo('#history-list li')
      })

      test('the list of codes outlives the page, and keeps neither texts nor passwords', async () => {
        const page = await open()
        const first = await write(page, 'the first text', { password: 'its password' })
        await page.click('#write-another')
        const second = await write(page, 'the second text')
        await page.click('#write-another')
        await page.reload()
        await isReady(page)
        const list = await page.says('#history-list', new RegExp(`${spaced(second)}[^]*${spaced(first)}`))
        expect(list).toMatch(/\d:\d\d.* · 15 bytes/)
        const kept = await page.evaluate(async () =>
          JSON.stringify(
            location.protocol.startsWith('http') ? { ...localStorage } : await chrome.storage.local.get(null),
          ),
        )
        expect(kept).toContain(first)
        expect(kept).not.toMatch(/the first text|the second text|its password/)
        const passing = await page.evaluate(async () =>
          JSON.stringify(
            location.protocol.startsWith('http') ? { ...sessionStorage } : await chrome.storage.session.get(null),
          ),
        )
        expect(passing).not.toMatch(/the first text|the second text|its password/)
      })

      test('the list shows a code in full again, and copies it', async () => {
        const page = await open()
        const code = await write(page, 'shown again')
        await page.click('#write-another')
        await page.seesNo('#written-code')
        await page.click(`li[data-code=${code}] button:not(.danger, .show-code)`)
        await page.says(`li[data-code=${code}]`, /✓/)
        await tells(page, 'copiedCode')
        expect(await browser().clipboard()).toBe(code)
        await page.click(`li[data-code=${code}] .show-code`)
        expect(await writtenCode(page)).toBe(code)
      })

      test('a password can be shown and hidden again', async () => {
        const page = await open()
        await page.type('secret', '#write-password')
        const shown = () => page.evaluate(() => document.querySelector<HTMLInputElement>('#write-password')?.type)
        expect(await shown()).toBe('password')
        await page.click('.show[aria-controls=write-password]')
        expect(await shown()).toBe('text')
        await page.click('.show[aria-controls=write-password]')
        expect(await shown()).toBe('password')
      })

      test('the list forgets what has expired, and erases what it is told to', async () => {
        const page = await open()
        const code = await write(page, 'soon over', { expiresIn: 600 })
        await page.click('#write-another')
        const other = await write(page, 'stays a while', { expiresIn: 86_400 })
        await page.click('#write-another')
        await page.evaluate(async (code) => {
          // The client goes by this computer's clock: what is over is what it believes to be over.
          const isPage = location.protocol.startsWith('http')
          const history = isPage
            ? JSON.parse(localStorage.history)
            : (await chrome.storage.local.get<{ history: { code: string; expiresAt: number }[] }>('history')).history
          for (const lent of history) if (lent.code === code) lent.expiresAt = Date.now() - 1
          if (isPage) localStorage.history = JSON.stringify(history)
          else await chrome.storage.local.set({ history })
        }, code)
        await page.reload()
        await isReady(page)
        expect(await page.says('#history-list', new RegExp(spaced(other)))).not.toMatch(new RegExp(spaced(code)))
        const erase = '#history-list li button.danger'
        await page.click(erase)
        await secondThought(page)
        await page.click(erase)
        await page.seesNo('#history-list li')
        expect(await server.load(other)).toBeUndefined()
      })

      test('a question whether to erase is asked anew, and forgotten with its message', async () => {
        const page = await open()
        const code = await write(page, 'to be kept')
        await page.click('#erase')
        await tells(page, 'eraseAgain')
        // What is pressed instead must not move away under the pointer, as it would if the message went at once.
        const said = await page.evaluate(() => {
          ;(document.activeElement as HTMLElement).blur()
          return document.querySelector('#message')?.textContent
        })
        expect(said).not.toBe('')
        await page.seesNo('#erase.armed')
        expect(await page.text('#message')).toBe('')
        expect(await page.text('#erase')).toBe('Erase')
        expect(await server.load(code)).toBe('to be kept')
      })

      test('what is listed already is not made anew when another tab writes', async () => {
        const page = await open()
        const code = await write(page, 'written first')
        await page.click('#write-another')
        await page.evaluate((code) => {
          for (const item of document.querySelectorAll<HTMLElement>(`li[data-code=${code}]`)) item.dataset.same = ''
        }, code)
        const other = await browser().open(await page.evaluate(() => location.href))
        await isReady(other)
        const second = await write(other, 'from another tab')
        await page.sees(`li[data-code=${second}] + li[data-code=${code}][data-same]`)
      })

      test('what another tab does is seen in this one', async () => {
        const page = await open()
        const code = await write(page, 'for once', { once: true })
        const other = await browser().open(await page.evaluate(() => location.href))
        await isReady(other)
        await other.until('the list', (code) => document.querySelector(`li[data-code=${code}]`) !== null, code)
        expect(await load(other, code)).toBe('for once')
        await page.says('#written-left', /^gone$/)
        await page.says('#written-receipt', /^loaded/)
        await page.click('#erase')
        await page.says('#erase', /Really/)
        await page.until('more than a double click', (pressed) => Date.now() - pressed > 700, Date.now())
        await page.click('#erase')
        await page.seesNo('#written-code')
        await other.until('it to go', (code) => document.querySelector(`li[data-code=${code}]`) === null, code)
      })

      test('a password that was lost with the page is asked for again, before anything is sent', async () => {
        const page = await open()
        await page.type('secret', '#write-text')
        await page.type('lost', '#write-password')
        await page.reload()
        await isReady(page)
        await tells(page, 'passwordAgain')
        expect(await page.evaluate(() => document.activeElement?.id)).toBe('write-password')
        await page.click('#write-submit')
        expect(await page.text('#write-text')).toBe('secret')
        await page.type('typed again', '#write-password')
        await page.click('#write-submit')
        const code = await writtenCode(page)
        expect(await server.load(code)).toBeUndefined()
        expect(server.query('SELECT code FROM text WHERE seal IS NOT NULL')).toContainEqual({ code })
        await page.reload()
        await isReady(page)
        expect(await page.text('#message')).toBe('')
      })

      test('the list says what a text asks of its reader, and the code describes its button', async () => {
        const page = await open()
        const code = await write(page, 'for one', { once: true, password: 'right' })
        await page.click('#write-another')
        await page.says(`li[data-code=${code}]`, /once\s*sealed/)
        const said = await page.evaluate(() => [
          document.querySelector<HTMLElement>('.show-code')?.title,
          document.querySelector('#copy-code')?.getAttribute('aria-describedby'),
        ])
        expect(said).toEqual(['Show again', 'written-code'])
      })

      test('a text of white space is empty, and the complaint goes with the first letter', async () => {
        const page = await open()
        await page.fill('#write-text', ' \n\t')
        await page.click('#write-submit')
        await tells(page, 'error_empty')
        await page.type('a', '#write-text')
        expect(await page.text('#message')).toBe('')
      })

      test('a password is asked for without blame, and a text that has come is announced', async () => {
        const page = await open()
        await askFor(page, await server.write('secret', { password: 'right' }))
        await tells(page, 'error_not_sealed')
        expect(await page.evaluate(() => document.querySelector('#message')?.className)).toBe('')
        await page.type('right', '#load-password')
        await page.press('Enter')
        await tells(page, 'textIsHere')
      })

      test('what was typed and what was written outlive a reload', async () => {
        const page = await open()
        await page.type('not yet sent', '#write-text')
        await page.reload()
        await isReady(page)
        expect(await page.text('#write-text')).toBe('not yet sent')
        await page.click('#write-submit')
        const code = await writtenCode(page)
        await page.reload()
        await isReady(page)
        expect(await writtenCode(page)).toBe(code)
      })

      test('markup in a text is shown, and never becomes part of the page', async () => {
        const attacks = [
          '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>',
          '"><svg onload=window.hurt=1>',
          '</pre><iframe srcdoc="<script>parent.hurt=1</script>"></iframe>',
          '{{constructor.constructor("window.hurt=1")()}}',
        ]
        for (const text of attacks) {
          const page = await open()
          expect(await load(page, await server.write(text))).toBe(text)
          expect(await page.evaluate(() => document.querySelector('#loaded-text')?.childElementCount)).toBe(0)
          expect(await page.evaluate(() => 'hurt' in window)).toBe(false)
          await page.close()
        }
      })

      test('a text that is a web address can be opened, one that is a script cannot', async () => {
        const page = await open()
        expect(await load(page, await server.write('javascript:window.hurt=1'))).toStartWith('javascript:')
        expect(await page.text('#open-link')).toBe('')
        const other = await open()
        await load(other, await server.write(`${server.url}/health`))
        await other.sees('#open-link')
        expect(await other.evaluate(() => document.querySelector<HTMLAnchorElement>('#open-link')?.href)).toBe(
          `${server.url}/health`,
        )
      })

      test('a code is read from whatever is pasted: white space, a link', async () => {
        const code = await server.write('pasted')
        for (const pasted of [` ${[...code].join(' ')}\t`, `${server.url}/#${code}`, `${server.url}/${code}`]) {
          const page = await open()
          await page.click('#load-tab')
          await page.fill('#load-code', pasted)
          await page.click('#load-submit')
          expect(await loadedText(page)).toBe('pasted')
          await page.close()
        }
      })

      test('a code is found within a text that is pasted, and what names none is not cut into one', async () => {
        const page = await open()
        await page.click('#load-tab')
        for (const pasted of [
          'www.extextcloud.com/#aBcD',
          'look https://x.y/#aBcD',
          'https://x.y/#aBcD.',
          'code: aBcD',
          '코드:aBcD',
          'localhost:3000/aBcD',
          '“aBcD”, she wrote',
          'a B c D',
        ]) {
          await page.fill('#load-code', pasted)
          expect([pasted, await page.text('#load-code')]).toEqual([pasted, 'aBcD'])
          await page.press('Escape')
          expect(await page.text('#load-code')).toBe('')
        }
        for (const [pasted, problem] of [
          ['look here', 'codeIncomplete'],
          ['https://x.y/', 'codeIncomplete'],
          ['password', 'codeIncomplete'],
          ['aB1D', 'codeLetters'],
        ] as const) {
          await page.fill('#load-code', pasted)
          await tells(page, problem)
          expect(await page.text('#load-code')).toBe('')
        }
        await page.type('a')
        await page.press('Escape')
        expect(await page.text('#message')).toBe('')
      })

      test('the complaint about a letter that is none stays until there is one', async () => {
        const page = await open()
        await page.click('#load-tab')
        await page.type('1')
        await tells(page, 'codeLetters')
        await page.type('!')
        await tells(page, 'codeLetters')
        await page.type('a')
        expect(await page.text('#message')).toBe('')
      })

      test('another code is typed or pasted over one that is there', async () => {
        const page = await open()
        const current = () => page.evaluate(() => document.querySelectorAll('#load-letters .current').length)
        await page.click('#load-tab')
        await page.type('aBcD')
        await page.type('x')
        expect(await page.text('#load-code')).toBe('x')
        await page.type('YzW')
        await tells(page, 'error_not_found') // It was asked for by its fourth letter.
        for (const [pasted, code] of [
          ['wXyZ', 'wXyZ'],
          [`${server.url}/#AbCd`, 'AbCd'],
          ['no code here', 'AbCd'],
        ] as const) {
          await paste(page, '#load-code', pasted)
          expect(await page.text('#load-code')).toBe(code)
        }
        await page.click('#write-tab')
        await page.click('#load-tab')
        await page.until('all letters to be current', () => document.querySelectorAll('.current').length === 4)
        await page.type(MISSING)
        expect(await page.text('#load-code')).toBe(MISSING)
        await page.press('Enter')
        await tells(page, 'error_not_found')
        expect(await current()).toBe(1)
        await page.press('Backspace')
        expect(await page.text('#load-code')).toBe(MISSING.slice(0, 3))
        await page.type('Z')
        await page.type('q')
        expect(await page.text('#load-code')).toBe('q')
      })

      test('Backspace takes the last letter of a code back, and what is no letter is left out', async () => {
        const page = await open()
        await page.click('#load-tab')
        await page.type('a1 X-c')
        expect(await page.text('#load-code')).toBe('aXc')
        await page.press('Backspace')
        await page.press('Backspace')
        await page.type('BcD')
        expect(await page.text('#load-code')).toBe('aBcD')
        expect(await page.text('#load-spelling')).toBe('small a · BIG B · small c · BIG D')
      })

      test('the size of a text is shown once it matters, and warned of before the server refuses it', async () => {
        const page = await open()
        await page.fill('#write-text', 'short')
        await page.seesNo('#write-size')
        await page.fill('#write-text', `${'부엌'.repeat(20)}\n`.repeat(1000))
        await page.says('#write-size', /\d/)
        await page.fill('#write-text', `${'x'.repeat(99)}\n`.repeat(11_000))
        if (home === 'in the extension') return page.says('#write-size', /^1\.1 MB$/)
        // The page knows its server: it says so once, and sends nothing.
        expect(await tells(page, 'sizeTooLarge')).toMatch(/^1\.1 MB\. At most 1 MB fits/)
        await page.seesNo('#write-size')
        await page.click('#write-submit')
        await tells(page, 'sizeTooLarge')
        await page.seesNo('#written-code')
        await page.fill('#write-text', 'short')
        expect(await page.text('#message')).toBe('')
      })

      test('an incomplete code is not sent, and markup in a code is no code', async () => {
        const page = await open()
        for (const [code, problem] of [
          ['abc', 'codeIncomplete'],
          ['<b>', 'codeIncomplete'],
          ['한글', 'codeIncomplete'],
        ] as const) {
          await page.click('#load-tab')
          await page.fill('#load-code', code)
          await page.click('#load-submit')
          await tells(page, problem)
        }
      })

      test('a text in Hebrew or Arabic runs from right to left, where it is written and where it is read', async () => {
        const page = await open()
        const direction = (selector: string) =>
          page.evaluate((selector) => getComputedStyle(document.querySelector(selector) as Element).direction, selector)
        await page.fill('#write-text', 'שלום עולם')
        expect(await direction('#write-text')).toBe('rtl')
        await page.click('#write-submit')
        const code = await writtenCode(page)
        expect(await load(page, code)).toBe('שלום עולם')
        expect(await direction('#loaded-text')).toBe('rtl')
        expect(await load(page, await server.write('from left to right'))).toBe('from left to right')
        expect(await direction('#loaded-text')).toBe('ltr')
      })

      test('the server that stops is told of, nothing is lost, and the next try succeeds', async () => {
        await using stopping = await testServer()
        const page = await open(stopping)
        await page.fill('#write-text', 'typed in vain?')
        await stopping.pause()
        await page.click('#write-submit')
        await tells(page, 'error_unreachable')
        expect(await page.text('#write-text')).toBe('typed in vain?')
        stopping.resume()
        await page.click('#write-submit')
        expect(await stopping.load(await writtenCode(page))).toBe('typed in vain?')
      })

      test('a server with write keys asks for one when it is needed, and a right one is remembered for that server alone', async () => {
        await using guarded = await testServer({ WRITE_KEYS: 'anna:anna-has-this-key' })
        const isShown = (page: Page) =>
          page.evaluate(() => document.querySelector<HTMLElement>('#write-key')?.offsetParent !== null)
        const page = await open(guarded)
        await page.fill('#write-text', 'for those with a key')
        expect(await isShown(page)).toBe(false)
        await page.click('#write-submit')
        await tells(page, 'error_write_key_required')
        for (const wrong of ['a-wrong-key-of-mine', 'kein schlüssel']) {
          await page.fill('#write-key', wrong)
          await page.click('#write-submit')
          await tells(page, 'error_write_key_required')
        }
        expect(await page.text('#write-text')).toBe('for those with a key')
        await page.fill('#write-key', ' anna-has-this-key ')
        await page.click('#write-submit')
        expect(await guarded.load(await writtenCode(page))).toBe('for those with a key')

        await page.reload()
        await page.click('#write-another')
        await page.fill('#write-text', 'the next one')
        await page.click('#write-submit')
        expect(await guarded.load(await writtenCode(page))).toBe('the next one')
        expect(await isShown(page)).toBe(false)
      })

      test('a limit that is reached is told of, with the time to wait, and nothing is lost', async () => {
        await using strict = await testServer({ WRITES_PER_MINUTE: '1', MISSES_PER_HOUR: '1' })
        const code = await strict.write('the only one', { expiresIn: 86_400 })
        const page = await open(strict)
        await page.fill('#write-text', 'one too many')
        await page.click('#write-submit')
        await tells(page, 'error_too_many_requests')
        await page.says('#wait', /\d+ sec/)
        expect(await page.text('#write-text')).toBe('one too many')
        await page.click('#load-tab')
        await page.fill('#load-code', code === 'zzzz' ? 'zzzy' : 'zzzz')
        await page.click('#load-submit')
        await tells(page, 'error_not_found')
        await page.fill('#load-code', code)
        await page.click('#load-submit')
        await tells(page, 'error_too_many_misses')
        await page.says('#wait', /59 min|1 h/)
        await page.press('Backspace')
        await page.fill('#load-code', code)
        await tells(page, 'error_too_many_misses')
        await page.click('#write-tab')
        await tells(page, 'error_too_many_requests')
        await page.click('#load-tab')
        await tells(page, 'error_too_many_misses')
        await page.says('#wait', /59 min|1 h/)
        strict.clock.ahead += 61 * MINUTE
        await page.click('#load-submit')
        expect(await loadedText(page)).toBe('the only one')
      })

      test('a text that is too large, or a server that is full, is told of, and nothing is lost', async () => {
        for (const [limit, said] of [
          [{ MAX_TEXT_BYTES: '1000' }, home === 'in the extension' ? 'error_text_too_large' : 'sizeTooLarge'],
          [{ MAX_STORED_BYTES: '20000' }, 'error_storage_full'],
          [{ WRITE_BYTES_PER_DAY: '2000' }, 'error_too_many_bytes'],
        ] as const) {
          await using small = await testServer(limit)
          for (let i = 0; i < 10; i++) await small.write('x'.repeat(1900))
          const page = await open(small)
          await page.fill('#write-text', 'x'.repeat(1001))
          await page.click('#write-submit')
          await tells(page, said)
          expect(await page.text('#write-text')).toHaveLength(1001)
          await page.close()
        }
      })

      test('the choice of a language changes every word, and is remembered', async () => {
        const page = await open()
        const shown = async () =>
          (await page.text('body')).replace(
            /curl.*|Alt.*E\b|한국어|English|日本語|简体中文|extextcloud|https?:\S+/g,
            '',
          )
        expect(await shown()).not.toMatch(/[가-힣]/)
        await page.choose('#language', 'zh_CN')
        await page.says('#write-submit', /^获取四个字母/)
        await page.choose('#language', 'ko')
        await page.says('#write-submit', /^네 글자 받기/)
        await page.reload()
        await isReady(page)
        expect(await page.evaluate(() => document.documentElement.lang)).toBe('ko')
        await page.fill('#write-text', '안녕')
        await page.click('#write-submit')
        await writtenCode(page)
        await page.click('#load-tab')
        await page.click('#load-submit')
        await page.says('#message', /[가-힣]/)
        // A code, and the examples of one, are all that may be left of the Latin alphabet.
        expect(await shown()).not.toMatch(/[A-Za-z]{5,}/)
      })

      test('the keyboard alone writes, erases and loads', async () => {
        const page = await open()
        await tabTo(page, '#write-text')
        await page.type('no mouse')
        await tabTo(page, '#write-once')
        await page.press('Space')
        await tabTo(page, '#write-submit')
        await page.press('Enter')
        const code = await writtenCode(page)
        await tabTo(page, '#load-tab, #write-tab')
        await page.press('Home')
        await page.sees('#copy-code')
        await tabTo(page, '#load-tab, #write-tab')
        await page.press('End')
        await page.sees('#load-code')
        await page.press('ArrowRight')
        await page.sees('#copy-code')
        await page.press('ArrowRight')
        await page.sees('#load-code')
        await tabTo(page, '#load-code')
        await page.type(code)
        await page.press('Enter')
        expect(await loadedText(page)).toBe('no mouse')
        await page.says('#loaded-note', /once/)
        await tabTo(page, '#copy-text')
        await page.press('Enter')
        await tells(page, 'copiedText')
      })
    }
  })
}

/** A code that is lent to nobody, but for a chance of one to millions. */
const MISSING = 'qQzZ'

/** Waits until a second press is no double click any more. */
async function secondThought(page: Page) {
  const pressed = await page.evaluate(() => Date.now())
  await page.until('a second thought', (pressed) => Date.now() - pressed > 600, pressed)
}

/** Pastes `text` where the caret is in `selector`. */
const paste = (page: Page, selector: string, text: string) =>
  page.evaluate(
    (selector, text) => {
      const clipboardData = new DataTransfer()
      clipboardData.setData('text/plain', text)
      // Firefox knows only its own way to say what is pasted.
      const firefox = { data: text, dataType: 'text/plain' }
      const event = new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData, ...firefox })
      document.querySelector(selector)?.dispatchEvent(event)
    },
    selector,
    text,
  )

const spaced = (code: string) => [...code].join('\\s*')

/** Presses Tab until `selector` has the focus. */
async function tabTo(page: Page, selector: string) {
  for (let presses = 0; presses < 30; presses++) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector) ?? false, selector)) return
    await page.press('Tab')
  }
  throw new Error(`No number of tabs leads to ${selector}`)
}
