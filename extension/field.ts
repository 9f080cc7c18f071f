/** “Load into this field”: puts a text into a field of a page, and tells whether it is there. */
import type { Field } from './api.ts'

/** Which of the two builds this is: `bun run build` writes it here. */
declare const BROWSER: 'chromium' | 'firefox'

/** The field that was asked for, in the extension's own world of its page. */
declare global {
  var askedField: HTMLElement | undefined
}

/** What came of it: the key of the message that tells it. */
type Filled =
  | 'intoFieldDone'
  | 'intoFieldFailed'
  | 'intoFieldFrame'
  | 'intoFieldPage'
  | 'intoFieldPart'
  | 'intoFieldReadOnly'
  | 'intoFieldUnseen'

const run = <Args extends unknown[], Result>(
  { tabId, frameId }: Field,
  func: (...args: Args) => Result,
  ...args: Args
) => chrome.scripting.executeScript({ target: { tabId, frameIds: [frameId] }, func, args })

/** Remembers which field of the page has the focus. Throws where the browser lets no extension in. */
export const rememberField = (field: Field) =>
  run(field, () => {
    const rootOf = (element: Element & { openOrClosedShadowRoot?: ShadowRoot | null }) =>
      BROWSER === 'firefox' ? element.openOrClosedShadowRoot : chrome.dom.openOrClosedShadowRoot(element as HTMLElement)
    let focused = document.activeElement
    for (let inner = focused; inner; inner = rootOf(inner)?.activeElement ?? null) focused = inner
    globalThis.askedField = focused instanceof HTMLElement ? focused : undefined
  })

/** Puts `text` where the cursor of the field is. */
export async function putInto(field: Field, text: string): Promise<Filled> {
  if (field.isClosed) return field.frameId ? 'intoFieldFrame' : 'intoFieldPage'
  try {
    const [injection] = await run(field, fill, text)
    return injection?.result ?? 'intoFieldFailed'
  } catch {
    // The page or its frame was closed or left.
    return 'intoFieldFailed'
  }
}

/** Runs in the page, so it may use nothing from outside itself but what the build writes here. */
async function fill(wanted: string): Promise<Filled> {
  const field = globalThis.askedField
  const box = field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement ? field : undefined
  const isEditable = box || field?.isContentEditable || (field && 'editContext' in field && field.editContext)
  if (!field?.isConnected || !isEditable) return 'intoFieldFailed'
  if (box?.readOnly || box?.disabled) return 'intoFieldReadOnly'
  const root = field.getRootNode() as Document | ShadowRoot
  if (root.activeElement !== field) field.focus()
  // Nobody misses the break behind the last line.
  const text = wanted.replace(/\r\n?/g, '\n').replace(field instanceof HTMLInputElement ? /\n+$/ : '', '')

  // What is to be seen, in lines and the breaks between them.
  const clean = (text: string) =>
    text
      .replace(/[\u200b\ufeff]/g, '')
      .replaceAll('\xa0', ' ')
      .replace(/[ \t]+$/gm, '')
  const parts = clean(text)
    .replace(/^\n+|\n+$/g, '')
    .split(/(\n+|[ \t]*\t[ \t]*)/)
  /** How often `parts` are in `shown`. Editors draw a tab as spaces, and paragraphs with an empty line between. */
  const count = (shown: string, parts: string[]) => {
    const [first = '', ...rest] = parts
    let found = 0
    if (!first) return found
    for (let start = shown.indexOf(first); start >= 0; ) {
      let end = start + first.length
      const isWhole = rest.every((part, index) => {
        if (index % 2 === 1) {
          end += part.length
          return shown.startsWith(part, end - part.length)
        }
        const isBreak = part.startsWith('\n')
        const gap = isBreak ? /\n*/y : /[ \t]+/y
        gap.lastIndex = end
        const length = gap.exec(shown)?.[0].length ?? 0
        end += length
        return length >= (isBreak ? part.length : 1)
      })
      if (isWhole) found++
      start = shown.indexOf(first, isWhole ? end : start + 1)
    }
    return found
  }
  // Code editors take what is typed in a box of their own, and draw it elsewhere.
  let top: HTMLElement = field
  while (top.parentElement) top = top.parentElement
  // biome-ignore lint/performance/useDomNodeTextContent: only what is shown has its line breaks
  const shown = () => clean(top.innerText)
  const shownBefore = shown()
  const selected = clean(String(getSelection()))
  const isShown = (parts: string[]) => {
    const before = count(shownBefore, parts) - count(selected, parts)
    return () => count(shown(), parts) > before
  }
  const isAllShown = isShown(parts)
  const isEndShown = isShown(parts.slice(-5))

  const value = box?.value ?? ''
  const { selectionStart: start, selectionEnd: end } = box ?? {}
  const isInBox = () =>
    typeof start === 'number' && typeof end === 'number'
      ? box?.value === value.slice(0, start) + text + value.slice(end)
      : box?.value !== value && box?.value.includes(text)

  // Some editors take nothing without the focus, which the popup has.
  if (!document.hasFocus()) field.dispatchEvent(new FocusEvent('focus', { composed: true }))
  // As a paste, which editors know best. Chromium reads the one, Firefox the other.
  const clipboardData = new DataTransfer()
  clipboardData.setData('text/plain', text)
  const paste = { clipboardData, dataType: 'text/plain', data: text, bubbles: true, cancelable: true, composed: true }
  const isTaken = !(field instanceof HTMLInputElement) && !field.dispatchEvent(new ClipboardEvent('paste', paste))
  if (!isTaken) insert()

  function insert() {
    // Outdated, yet the only way that the page's undo notices. Chromium takes milliseconds for each line, but not of HTML.
    const escaped = text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
    const isRich = !box && field?.contentEditable !== 'plaintext-only'
    const isCollapsing = isRich && !/^(pre|break-spaces)/.test(getComputedStyle(field as HTMLElement).whiteSpace)
    const spaced = isCollapsing ? escaped.replaceAll('\t', '    ').replace(/^ | (?= )/gm, '\xa0') : escaped
    const html = isRich
      ? spaced.replace(/^.*$/gm, (line) => `<div>${line || '<br>'}</div>`).replaceAll('\n', '')
      : `<span style=white-space:pre>${escaped}</span>`
    if (BROWSER === 'chromium' && text.includes('\n') && document.execCommand('insertHTML', false, html)) return
    document.execCommand('insertText', false, text)
  }

  const isThere = () => (box && isInBox()) || ((!box || isTaken) && isAllShown())
  // Pages show, refuse and correct what they were given a moment later.
  for (let looks = 0, seen = 0; looks < 20; looks++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    seen = isThere() ? seen + 1 : 0
    if (seen === 2) return 'intoFieldDone'
  }
  return isTaken && isEndShown() ? 'intoFieldUnseen' : 'intoFieldPart'
}
