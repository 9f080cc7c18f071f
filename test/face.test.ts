/** How the page feels in the hand: how many keys it takes, what moves, and that no press goes astray. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { CHROMIUM, type ChromiumPage } from './support/chromium.ts'
import {
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
import { poll } from './support/poll.ts'
import { type TestServer, testServer } from './support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server[Symbol.asyncDispose]())

describeIn(CHROMIUM, (chromium) => {
  const open = async (at = '') => (await openPage(chromium(), server, at)) as ChromiumPage

  /** The middle of what `selector` shows. */
  const middleOf = (page: ChromiumPage, selector: string) =>
    page.evaluate((selector) => {
      const { x = 0, y = 0, width = 0, height = 0 } = document.querySelector(selector)?.getBoundingClientRect() ?? {}
      return [x + width / 2, y + height / 2] as const
    }, selector)

  /** The browser's own count of clicks goes on from one at the same place, which puppeteer's does not. */
  async function secondClick(page: ChromiumPage, x: number, y: number) {
    const session = await page.puppet.createCDPSession()
    for (const type of ['mousePressed', 'mouseReleased'] as const)
      await session.send('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 2 })
  }

  test('loading takes five keys and no click: four letters, and Enter to copy', async () => {
    const page = await open()
    const code = await server.write('five keys away')
    let keys = 0
    const press = async (key: string) => {
      keys++
      await page.press(key)
    }
    for (const letter of code) await press(letter)
    expect(await loadedText(page)).toBe('five keys away')
    await press('Enter')
    await tells(page, 'copiedText')
    expect([keys, await chromium().clipboard()]).toEqual([5, 'five keys away'])
  })

  test('writing takes two chords and no click: one pastes, one sends; the code is copied by itself', async () => {
    const source = await open()
    await load(source, await server.write('two chords away'))
    await source.click('#copy-text')
    await tells(source, 'copiedText')
    const page = await open()
    let chords = 0
    const { keyboard } = page.puppet
    await keyboard.down('Control')
    await keyboard.press('v', { commands: ['Paste'] })
    await keyboard.up('Control')
    chords++
    await page.says('#write-text', /^two chords away$/)
    await page.press('Control', 'Enter')
    chords++
    const code = await writtenCode(page)
    await page.says('#copy-code', /^✓/)
    expect([chords, await server.load(code), await chromium().clipboard()]).toEqual([2, 'two chords away', code])
  })

  test('whoever types on at nothing, beyond four letters, writes a text', async () => {
    const page = await open()
    await page.type('Hello world, this is no code')
    expect(await page.text('#write-text')).toBe('Hello world, this is no code')
    expect([await page.text('#load-code'), await page.text('#message')]).toEqual(['', ''])
    expect(page.requests.filter((url) => url.endsWith('/api/load')).length).toBeLessThanOrEqual(1)
    const other = await open()
    await other.type('I am no code')
    expect(await other.text('#write-text')).toBe('I am no code')
    expect(other.requests.filter((url) => url.endsWith('/api/load'))).toEqual([])
  })

  test('the fourth letter that is typed leaves a text to be read once; a press takes it', async () => {
    const page = await open()
    const code = await server.write('for one reader', { once: true })
    await page.type(code, '#load-code')
    await tells(page, 'error_only_once')
    expect(await page.evaluate(() => document.querySelector('#message')?.className)).toBe('')
    await page.seesNo('#loaded-text')
    await page.press('Enter')
    expect(await loadedText(page)).toBe('for one reader')
    expect(await server.load(code)).toBeUndefined()
  })

  test('a password that is sent while the code is asked for is not lost', async () => {
    const code = await write(await open(), 'behind a password', { password: 'right' })
    const page = await open()
    await page.type(code, '#load-code')
    await tells(page, 'error_password_required')
    // Answers wait until they are let go.
    await page.evaluate(() => {
      const held: (() => void)[] = []
      const ask = window.fetch
      const hold = async (...request: Parameters<typeof fetch>) => {
        const response = await ask(...request)
        await new Promise<void>((resolve) => held.push(resolve))
        return response
      }
      Object.assign(window, { fetch: hold, held })
    })
    await page.click('#load-submit')
    await page.until('the answer', () => (globalThis as unknown as { held: unknown[] }).held.length > 0)
    await page.type('right', '#load-password')
    await page.press('Enter')
    await page.evaluate(() => {
      const { held } = globalThis as unknown as { held: (() => void)[] }
      Object.assign(held, { push: (go: () => void) => go() })
      for (const go of held) go()
    })
    expect(await loadedText(page)).toBe('behind a password')
  })

  test('a keyboard that composes its letters, as those of phones do, loads with the fourth one too', async () => {
    const page = await open()
    const code = await server.write('composed')
    await page.click('#load-code')
    const session = await page.puppet.createCDPSession()
    const asked = () => page.requests.filter((url) => url.endsWith('/api/load')).length
    for (let length = 1; length <= 4; length++) {
      const text = code.slice(0, length)
      await session.send('Input.imeSetComposition', { text, selectionStart: length, selectionEnd: length })
    }
    expect(await loadedText(page)).toBe('composed')
    await page.sees('#copy-text')
    expect([await page.text('#load-code'), asked()]).toEqual([code, 1])
  })

  test('a wrong last letter is mended, and the text comes', async () => {
    const page = await open()
    const code = await server.write('mended')
    const wrong = code.endsWith('x') ? 'y' : 'x'
    await page.type(code.slice(0, 3) + wrong, '#load-code')
    await tells(page, 'error_not_found')
    await page.press('Backspace')
    await page.type(code.slice(3))
    expect(await loadedText(page)).toBe('mended')
  })

  test('what is pasted waits for a press', async () => {
    const page = await open()
    const code = await server.write('waits')
    const before = page.requests.length
    await page.fill('#load-code', ` ${code}`)
    await page.says('#load-spelling', /·/)
    expect(page.requests.slice(before).filter((url) => url.includes('/api/'))).toEqual([])
    await page.click('#load-submit')
    expect(await loadedText(page)).toBe('waits')
  })

  test('the loaded view says what it is, and another code is typed where the first one stands', async () => {
    const page = await open()
    await load(page, await server.write('name\tsize\npear\t3\n', { expiresIn: 600 }))
    await page.says('#loaded-left', /^Gone in (10|9) minutes/)
    await page.says('#loaded-size', /^17 bytes$/)
    const isMonospace = () => page.evaluate(() => document.querySelector('#loaded-text')?.matches('.monospace'))
    expect(await isMonospace()).toBe(true)
    await page.click('#monospace')
    expect(await isMonospace()).toBe(false)
    const code = await server.write('Title\nhttps://аpple.com/')
    await page.type(code, '#load-code')
    await page.says('#loaded-text', /^Title/)
    await page.sees('#open-link')
    expect(await page.text('#link-host')).toBe('xn--pple-43d.com')
  })

  test('both sides are on the first screen where there is room; a narrow first visit shows the letters above the box', async () => {
    const page = await open()
    await page.resize(1280, 800)
    const top = (selector: string) =>
      page.evaluate((selector) => document.querySelector(selector)?.getBoundingClientRect().top ?? -1, selector)
    expect(await top('#load-code')).toBeLessThan(await top('#write-submit'))
    await page.resize(390, 844)
    await page.sees('#load-greeting')
    expect(await top('#load-code')).toBeLessThan(await top('#write-text'))
    expect(await top('#write-submit')).toBeLessThan(844)
    await page.type('a', '#load-code')
    await page.seesNo('#write-text')
    await page.sees('#load-submit')
    await page.click('#write-tab')
    await page.seesNo('#load-code')
    await page.reload()
    await isReady(page)
    await page.seesNo('#load-code')
  })

  test('Escape and one shortcut lead from Write to Load and back', async () => {
    const page = await open()
    const focus = (id: string) => page.until(`the focus on ${id}`, (id) => document.activeElement?.id === id, id)
    await page.click('#write-text')
    await page.press('Escape')
    await focus('load-code')
    await page.press('Escape')
    await focus('write-text')
    const { keyboard } = page.puppet
    for (const id of ['load-code', 'write-text']) {
      await keyboard.down('Alt')
      await keyboard.down('Shift')
      await keyboard.press('KeyL')
      await keyboard.up('Shift')
      await keyboard.up('Alt')
      await focus(id)
    }
    expect(await page.text('#write-text')).toBe('')
  })

  test('the second half of a double click does not reach what has come under the pointer', async () => {
    const page = await open()
    await page.type('clicked twice', '#write-text')
    const { mouse } = page.puppet
    const [x, y] = await middleOf(page, '#write-submit')
    await mouse.click(x, y)
    await writtenCode(page)
    // Wherever the result puts it: here it lies under the pointer.
    await page.evaluate(() => {
      const another = document.querySelector<HTMLElement>('#write-another')
      if (another) Object.assign(another.style, { position: 'fixed', inset: '0', zIndex: '9' })
    })
    await secondClick(page, x, y)
    await page.sees('#written-code')
    await mouse.click(x, y)
    await page.seesNo('#written-code')
  })

  test('“Erase” pressed twice in place erases, since the list does not move in between', async () => {
    const page = await open()
    const code = await write(page, 'a mistake')
    await page.click('#write-another')
    const erase = `li[data-code=${code}] .danger`
    await page.sees(erase)
    const [x, y] = await middleOf(page, erase)
    await page.puppet.mouse.click(x, y)
    await tells(page, 'eraseAgain')
    expect(await middleOf(page, erase)).toEqual([x, y])
    const pressed = await page.evaluate(() => Date.now())
    await page.until('a second thought', (pressed) => Date.now() - pressed > 600, pressed)
    await page.puppet.mouse.click(x, y)
    await tells(page, 'erased')
    expect(await server.load(code)).toBeUndefined()
  })

  test('nothing scrolls where the result is in view', async () => {
    const page = await open()
    await page.resize(1280, 800)
    const scrolled = () => page.evaluate(() => scrollY)
    await write(page, 'x\n'.repeat(200))
    expect(await scrolled()).toBe(0)
    await load(page, await server.write('x\n'.repeat(200)))
    expect(await scrolled()).toBe(0)
  })

  test('a code lands when it is new, not when the page is opened again', async () => {
    const page = await open()
    const landing = () => page.evaluate(() => document.querySelectorAll('.landing').length)
    await write(page, 'lands once')
    expect(await landing()).toBe(4)
    await page.reload()
    await isReady(page)
    await writtenCode(page)
    expect(await landing()).toBe(0)
  })

  test('codes, links and spelled letters are not for translators', async () => {
    const page = await open()
    const code = await write(page, 'not to be translated')
    await load(page, code)
    const translated = await page.evaluate(() =>
      ['written-code', 'written-spelling', 'written-link', 'load-code', 'load-letters', 'load-spelling', 'history-list']
        .map(
          (id) => document.getElementById(id)?.querySelector<HTMLElement>('.show-code') ?? document.getElementById(id),
        )
        .filter((element) => element?.translate !== false)
        .map((element) => element?.id),
    )
    expect(translated).toEqual([])
  })

  test('a loaded text is printed whole, and alone', async () => {
    const page = await open()
    const lines = Array.from({ length: 200 }, (_, line) => `Line ${line + 1}`)
    await load(page, await server.write(lines.join('\n')))
    await page.puppet.emulateMediaType('print')
    expect((await page.text('#printed')).split('\n')).toEqual(lines)
    await page.seesNo('main')
    const pdf = Buffer.from(await page.puppet.pdf()).toString('latin1')
    expect(pdf.match(/\/Type\s*\/Page\b/g)?.length).toBeGreaterThanOrEqual(4)
  })

  test('letters of twice the size fit a phone', async () => {
    const page = await open()
    await page.resize(390, 844)
    await page.evaluate(() => {
      document.documentElement.style.fontSize = '200%'
    })
    const expectToFit = async (screen: string) => {
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll('body *')]
          .filter(
            (element) => document.documentElement.scrollWidth > 390 && element.getBoundingClientRect().right > 390,
          )
          .map((element) => element.id || element.className),
      )
      expect([screen, ...wide]).toEqual([screen])
    }
    await expectToFit('first')
    const code = await write(page, 'large letters', { once: true, password: 'secret' })
    await expectToFit('written')
    await page.click('#write-another')
    await expectToFit('list')
    await load(page, code, 'secret')
    await expectToFit('loaded')
  })

  test('a text file that is dropped on the box is written there, another file is not', async () => {
    const page = await open()
    const drop = (bytes: string) =>
      page.evaluate((bytes) => {
        const dataTransfer = new DataTransfer()
        dataTransfer.items.add(new File([Uint8Array.from(JSON.parse(bytes) as number[])], 'dropped'))
        const event = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer })
        document.querySelector('#write-text')?.dispatchEvent(event)
      }, bytes)
    await drop(JSON.stringify([...Buffer.from('Küche\n부엌')]))
    await page.says('#write-text', /^Küche\n부엌$/)
    await drop('[137, 80, 78, 71, 255]')
    await tells(page, 'fileNotText')
    expect(await page.text('#write-text')).toBe('Küche\n부엌')
  })

  test('the popup keeps its width, and its written and loaded states fit 600 pixels', async () => {
    await (await openExtension(chromium(), server)).close()
    const site = await chromium().open(`${server.url}/robots.txt`)
    const popup = await chromium().openPopup(site)
    await isReady(popup)
    const size = () => popup.evaluate(() => [innerWidth, document.body.scrollHeight] as const)
    const [width] = await size()
    const expectToFit = async (screen: string) => {
      const [now, height] = await size()
      expect([screen, now, height <= 600]).toEqual([screen, width, true])
    }
    await write(popup, 'in a popup', { once: true, password: 'secret' })
    await expectToFit('written')
    await popup.click('#load-tab')
    await popup.type(await server.write('x\n'.repeat(200)), '#load-code')
    await loadedText(popup)
    expect((await size())[0]).toBe(width)
    await popup.sees('#copy-text')
    const [, y] = await middleOf(popup, '#copy-text')
    expect(y).toBeLessThan(600)
  })

  test('nothing of a private window outlives it', async () => {
    await (await openExtension(chromium(), server)).close()
    const popup = await chromium().open('about:blank')
    await popup.puppet.evaluateOnNewDocument(() => {
      if (globalThis.chrome?.windows) chrome.windows.getCurrent = (async () => ({ incognito: true })) as never
    })
    await popup.goto(`${chromium().extension}popup.html`)
    await isReady(popup)
    const code = await write(popup, 'in private')
    await popup.click('#write-another')
    await popup.sees(`li[data-code=${code}]`)
    await popup.type('half a text', '#write-text')
    await popup.reload()
    await isReady(popup)
    expect(await popup.text('#write-text')).toBe('half a text')
    const kept = (area: 'local' | 'session') =>
      chromium().inBackground(async (area) => JSON.stringify(await chrome.storage[area as 'local'].get(null)), area)
    expect(await kept('local')).not.toContain(code)
    const usual = await chromium().open(`${chromium().extension}popup.html`)
    await isReady(usual)
    expect(await usual.text('#write-text')).toBe('')
    await usual.seesNo('#history')
    await chromium().inBackground(() => {
      const { onRemoved } = chrome.windows as unknown as { onRemoved: { dispatch(id: number): void } }
      onRemoved.dispatch(1)
    })
    await usual.until('the browser to forget', async () => {
      const kept = JSON.stringify(await chrome.storage.session.get(null))
      return !kept.includes('private:') && !kept.includes('half a text')
    })
    expect(await server.load(code)).toBe('in private')
  })

  test('“Done” closes the options, which are saved already', async () => {
    await (await openExtension(chromium(), server)).close()
    const options = await chromium().open(`${chromium().extension}options.html`)
    await isReady(options)
    await options.choose('#default-expiry', '600')
    await tells(options, 'saved')
    await options.click('#done')
    await poll('the options to close', async () => options.puppet.isClosed())
    const popup = await chromium().open(`${chromium().extension}popup.html`)
    await isReady(popup)
    expect(await popup.text('#write-expiry')).toBe('600')
  })

  test('the popup sends what is selected in the page below it', async () => {
    await (await openExtension(chromium(), server)).close()
    const site = await chromium().open(`${server.url}/robots.txt`)
    const without = await chromium().openPopup(site)
    await isReady(without)
    await without.seesNo('#send-selection')
    await without.close()
    await site.evaluate(() => getSelection()?.selectAllChildren(document.body))
    const popup = await chromium().openPopup(site)
    await popup.click('#send-selection')
    const code = await writtenCode(popup)
    expect(await server.load(code)).toContain('User-agent: *\n')
    await popup.says('#shortcut', /^Alt\+Shift\+E /)
  })
})
