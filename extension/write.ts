/** The tab Write: a text and how it is to be kept; then its code, in every form in which it can be passed on. */
import { askTwice, copyOnPress } from './actions.ts'
import { DEFAULT_EXPIRY, draft, history, historyChanged, kept, type Lent, linkOf, Problem, write } from './api.ts'
import { showCode, showSpelling, spell } from './code.ts'
import { button, element, input, LONG_TEXT, reveal, textArea } from './elements.ts'
import { duration, fileSize, message, say } from './messages.ts'
import { qrCode } from './qr.ts'
import { busy, complain, forgetMessage, tell } from './status.ts'
import { focusTab, showTab } from './tabs.ts'

/** What a server takes unless its owner changed it. The page only warns before that: the server decides. */
const USUAL_MAX_TEXT_BYTES = 1_048_576

const writeText = textArea('write-text')
const writeExpiry = element<HTMLSelectElement>('write-expiry')
const writeOnce = input('write-once')
const writePassword = input('write-password')
const writeKey = input('write-key')
const writeKeyRow = element('write-key-row')

/** The text whose code is on show. */
let written: Lent | undefined
/** The list as it was last seen, which tells what has left it. */
let listed: Lent[] = []
/** Whether a password was typed that is gone with the page or popup: it is remembered nowhere, only that there was one. */
let isPasswordLost = false

/** Everything as it was when the popup was closed. */
export async function restoreWrite() {
  setText((await draft.get('text')) ?? '')
  writeOnce.checked = (await draft.get('once')) ?? false
  writeExpiry.value = String((await kept.get('expiresIn')) ?? DEFAULT_EXPIRY)
  written = await draft.get('written')
  listed = await history()
  isPasswordLost = (await draft.get('hadPassword')) ?? false
}

/** So that nobody sends a text unprotected without knowing. */
export function askForLostPassword() {
  if (!isPasswordLost || element('write-form').offsetParent === null) return
  tell('passwordAgain')
  writePassword.focus()
}

function keepPassword() {
  isPasswordLost = false
  void draft.set('hadPassword', writePassword.value !== '' || undefined)
}

/** Everything that has words in it. */
export function showWrite() {
  showSize()
  showWritten()
}

export function tickWrite() {
  if (written && written.expiresAt <= Date.now()) {
    showInstead(undefined)
    tell('expired')
  }
  showTimeLeft()
}

/** Shows the code of a text once more. */
export function reopen(lent: Lent) {
  showInstead(lent)
  showTab('write')
  reveal(element('written'), button('copy-code'))
}

/** Adds what was shared to whatever has been typed. */
export function addText(text: string) {
  showInstead(undefined)
  setText([writeText.value, text].filter(Boolean).join('\n'))
  showTab('write')
}

function insertText(text: string) {
  const { value, selectionStart, selectionEnd } = writeText
  setText(value.slice(0, selectionStart) + text + value.slice(selectionEnd))
  writeText.selectionStart = writeText.selectionEnd = selectionStart + text.length
}

document.addEventListener('paste', (event) => {
  const { target, clipboardData } = event
  const pasted = clipboardData?.getData('text') ?? ''
  const isElsewhere = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement
  if (target === writeText ? pasted.length <= LONG_TEXT : isElsewhere) return
  if (element('write-panel').hidden || written) return
  event.preventDefault()
  writeText.focus()
  insertText(pasted)
})

/** Puts `text` into the box, and keeps it in case the popup closes. */
function setText(text: string) {
  writeText.classList.toggle('long', text.length > LONG_TEXT)
  writeText.value = text
  keepText()
}

function keepText() {
  void draft.set('text', writeText.value || undefined)
  showSize()
}

function showSize() {
  const bytes = new TextEncoder().encode(writeText.value).length
  const size = element('write-size')
  const isTooLarge = bytes > USUAL_MAX_TEXT_BYTES
  size.hidden = bytes < USUAL_MAX_TEXT_BYTES / 10
  size.classList.toggle('error', isTooLarge)
  if (!size.hidden) say(size, isTooLarge ? 'sizeTooLarge' : 'size', fileSize(bytes), fileSize(USUAL_MAX_TEXT_BYTES))
}

writeText.oninput = () => {
  forgetMessage('error_empty')
  keepText()
}
writePassword.oninput = () => {
  forgetMessage('passwordAgain')
  keepPassword()
}
writeOnce.onchange = () => draft.set('once', writeOnce.checked)
writeExpiry.onchange = () => kept.set('expiresIn', Number(writeExpiry.value))

const isApple = /Mac|iPhone|iPad/.test(navigator.platform)
button('write-submit').dataset.keys = isApple ? '⌘ Enter' : 'Ctrl + Enter'
writeText.onkeydown = ({ key, ctrlKey, metaKey }) => {
  if (key === 'Enter' && (ctrlKey || metaKey)) element<HTMLFormElement>('write-form').requestSubmit()
}

element('write-form').onsubmit = async (event) => {
  event.preventDefault()
  if (writeText.value.trim() === '') {
    complain('error_empty')
    return writeText.focus()
  }
  if (isPasswordLost) {
    askForLostPassword()
    // Whoever then sends it without one means to.
    return keepPassword()
  }
  const problem = await busy(button('write-submit'), 'writing', async () => {
    const text = writeText.value
    const lent = await write({
      text,
      expiresIn: Number(writeExpiry.value),
      password: writePassword.value || undefined,
      once: writeOnce.checked,
      writeKey: writeKey.value.trim() || undefined,
    })
    writeKey.value = ''
    writeKeyRow.hidden = true
    // What was typed while it was being sent stays for the next.
    if (writeText.value === text) setText('')
    writePassword.value = ''
    keepPassword()
    writeOnce.checked = false
    void draft.set('once', undefined)
    showInstead(lent)
    forgetMessage()
    reveal(element('written'), button('copy-code'))
  })
  if (!(problem instanceof Problem) || problem.reason !== 'write_key_required') return
  writeKeyRow.hidden = false
  writeKey.select()
}

function showWritten() {
  element('write-form').hidden = written !== undefined
  element('written').hidden = written === undefined
  if (!written) return
  const link = linkOf(written)
  showCode(element('written-code'), written.code)
  element('written-code').setAttribute('aria-label', spell(written.code))
  // It gets the focus, and so a screen reader says the code.
  button('copy-code').setAttribute('aria-describedby', 'written-code')
  showSpelling(element('written-spelling'), written.code)
  element<HTMLAnchorElement>('written-link').href = link
  // On a phone it breaks before the code, never inside the host.
  const host = document.createElement('span')
  host.className = 'host'
  host.textContent = new URL(link).host
  const code = document.createElement('span')
  code.className = 'code'
  code.textContent = `/#${written.code}`
  element('written-link').replaceChildren(host, document.createElement('wbr'), code)
  element('written-qr').replaceChildren(qrCode(link))
  element('written-password').hidden = !written.hasPassword
  showTimeLeft()
}

function showTimeLeft() {
  if (!written) return
  const left = duration(written.expiresAt - Date.now())
  element('written-left').textContent = message(written.once ? 'leftOnce' : 'left', left)
}

function showInstead(lent: Lent | undefined) {
  written = lent
  showWritten()
  // Refused for want of room, it is still on show.
  draft.set('written', written).catch(() => {})
}

element('write-another').onclick = () => {
  showInstead(undefined)
  forgetMessage()
  writeText.focus()
}

copyOnPress(button('copy-code'), () => written?.code, 'copiedCode')
copyOnPress(button('copy-link'), () => written && linkOf(written), 'copiedLink')
askTwice(button('erase'), () => written, hideWritten)

function hideWritten() {
  if (!written) return
  showInstead(undefined)
  focusTab()
}

historyChanged.addEventListener('change', async () => {
  const before = listed
  listed = await history()
  const isWritten = ({ code, server }: Lent) => code === written?.code && server === written.server
  // Erased or taken. Where the browser refuses to remember, no text was ever in the list.
  if (before.some(isWritten) && !listed.some(isWritten)) hideWritten()
})
