/** “Send selection”: reads what is selected in a page, all of it, or with a word on what is missing. */
import type { Field } from './api.ts'

/** Which of the two builds this is: `bun run build` writes it here. */
declare const BROWSER: 'chromium' | 'firefox'

/** Characters to which Firefox cuts a selection for its menu. */
const LONGEST_IN_MENU = 16_384

export interface Selected {
  text: string
  /** The key of the message that tells what is missing, or may be. */
  lack?: 'sentFlat' | 'sentPart'
}

/** `inMenu` is what the browser gives with the menu's click. */
export async function readSelection(place: Field, inMenu: string): Promise<Selected> {
  const text = await exactSelection(place)
  if (text) return { text }
  // Chromium's menu makes one line of all.
  if (BROWSER === 'chromium') return { text: inMenu, lack: 'sentFlat' }
  return { text: inMenu, lack: inMenu.length < LONGEST_IN_MENU ? undefined : 'sentPart' }
}

async function exactSelection({ tabId, frameId }: Field): Promise<string> {
  try {
    const [injection] = await chrome.scripting.executeScript({
      target: { tabId, frameIds: [frameId] },
      func: selectionHere,
    })
    return injection?.result ?? ''
  } catch {
    // A page or frame that no extension may touch, such as a PDF.
    return ''
  }
}

/** Runs in the page, so it may use nothing from outside itself. */
function selectionHere(): string {
  let focused = document.activeElement
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement
  const box = focused instanceof HTMLInputElement || focused instanceof HTMLTextAreaElement ? focused : undefined
  const selection = getSelection()
  // Read first: what follows may change it.
  const selected = box?.value.slice(box.selectionStart ?? 0, box.selectionEnd ?? 0) || String(selection)

  // An editor that draws only a part of a long text still knows all that is selected in it.
  const start = selection?.anchorNode
  const around = (start instanceof Element ? start : start?.parentElement)?.closest('[contenteditable], [role=textbox]')
  const editor = focused === document.body ? around : focused
  const clipboardData = new DataTransfer()
  const copying = new ClipboardEvent('copy', { clipboardData, bubbles: true, cancelable: true, composed: true })
  editor?.dispatchEvent(copying)
  return (copying.defaultPrevented && copying.clipboardData?.getData('text/plain')) || selected
}
