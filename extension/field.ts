/** “Load into this field”: puts a text into the field of a page that has the focus. */
import type { Field } from './api.ts'

/** Returns whether the field was still there, and took it. */
export async function putInto({ tabId, frameId }: Field, text: string): Promise<boolean> {
  try {
    const [injection] = await chrome.scripting.executeScript({
      target: { tabId, frameIds: [frameId] },
      func: insertAtCursor,
      args: [text],
    })
    return injection?.result === true
  } catch {
    // The page was closed, or is one that no extension may touch.
    return false
  }
}

/** Runs in the page, so it may use nothing from outside itself. */
function insertAtCursor(text: string): boolean {
  let focused = document.activeElement
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement
  const field = focused
  const isInput = field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement
  if (!isInput && !(field instanceof HTMLElement && field.isContentEditable)) return false
  if (isInput && (field.readOnly || field.disabled)) return false
  // Outdated, yet the only way that the page's undo and its frameworks notice. It takes minutes for a megabyte of lines.
  const isLong = text.length > 50_000
  if (!(isInput && isLong) && document.execCommand('insertText', false, text)) return true
  if (!isInput) return false
  field.setRangeText(text, field.selectionStart ?? 0, field.selectionEnd ?? field.value.length, 'end')
  field.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: 'insertText', data: text }))
  return true
}
