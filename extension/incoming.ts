/** The other ways by which a text gets into the box: the clipboard, a file that is dropped, what is selected in the page below the popup. */
import { draft, isExtension, sendSelection } from './api.ts'
import { button, element } from './elements.ts'
import { busy, complain } from './status.ts'
import { insertText, isTooLarge, showNew } from './write.ts'

/** Which build this is: `build.ts` writes it here. */
declare const BROWSER: 'chromium' | 'firefox' | 'page'

/** Shows the buttons of what there is. */
export async function prepareIncoming() {
  // An extension would have to ask for one more permission.
  button('paste').hidden = isExtension || !navigator.clipboard?.readText
  button('send-selection').hidden = BROWSER === 'page' || !(await hasSelection())
}

button('paste').onclick = async () => {
  try {
    insertText(await navigator.clipboard.readText())
  } catch {
    complain('pasteFailed')
  }
}

const writeForm = element('write-form')

const isOfFile = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true

writeForm.ondragover = (event) => {
  if (!isOfFile(event)) return
  event.preventDefault()
  writeForm.classList.add('receiving')
}
writeForm.ondragleave = () => writeForm.classList.remove('receiving')
writeForm.ondrop = async (event) => {
  writeForm.classList.remove('receiving')
  const file = event.dataTransfer?.files[0]
  if (!file) return
  event.preventDefault()
  if (isTooLarge(file.size)) return
  try {
    insertText(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer()))
  } catch {
    complain('fileNotText')
  }
}

/** The page below the popup; nothing is below one that is opened as a tab. */
async function pageBelow(): Promise<number | undefined> {
  if (await chrome.tabs.getCurrent()) return undefined
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true })
  return tab?.id
}

async function hasSelection(): Promise<boolean> {
  const tabId = await pageBelow()
  if (tabId === undefined) return false
  try {
    const injections = await chrome.scripting.executeScript({
      target: { tabId },
      func: () => {
        const field = document.activeElement
        return field instanceof HTMLTextAreaElement
          ? field.selectionStart < field.selectionEnd
          : !!String(getSelection())
      },
    })
    return injections.some(({ result }) => result)
  } catch {
    // A page that no extension may touch.
    return false
  }
}

const sendThisSelection = () =>
  busy(button('send-selection'), 'writing', async () => {
    const tabId = await pageBelow()
    if (tabId === undefined) return
    await showNew(await sendSelection(tabId))
    await tellLack()
  })

if (BROWSER !== 'page') button('send-selection').onclick = sendThisSelection

/** Tells once what a selection lacks that was sent: the notification may have gone unseen. */
export async function tellLack() {
  const lack = await draft.get('lack')
  if (!lack) return
  complain(lack)
  await draft.set('lack', undefined)
}
