/** The tab Write: a text and how it is to be kept; then its code, in every form in which it can be passed on. */
import { askTwice, copyOnPress, showCopied } from './actions.ts'
import {
  canSeal,
  DEFAULT_EXPIRY,
  draft,
  history,
  historyChanged,
  isOver,
  kept,
  type Lent,
  linkOf,
  now,
  Problem,
  sealing,
  write,
} from './api.ts'
import { copy } from './clipboard.ts'
import { showCode, showSpelling, spell } from './code.ts'
import { button, element, input, isField, LONG_TEXT, reveal, textArea } from './elements.ts'
import { duration, fileSize, message, say } from './messages.ts'
import { qrCode } from './qr.ts'
import { busy, complain, forgetMessage, tell } from './status.ts'
import { suggestPassword } from './suggest.ts'
import { focusTab, showTab } from './tabs.ts'

const writeText = textArea('write-text')
const writeExpiry = element<HTMLSelectElement>('write-expiry')
const writeOnce = input('write-once')
const writePassword = input('write-password')
const writeKey = input('write-key')
const writeKeyRow = element('write-key-row')

/** Bytes that this server takes at most, as the page that it serves says. The extension may talk to any server: that decides. */
const maxTextBytes = Number(document.documentElement.dataset.maxTextBytes) || undefined
/** Bytes from which on a text's size is worth knowing. */
const LARGE = 100_000

/** Milliseconds that the button says that the code is copied already, which nobody has asked for. */
const COPIED_BY_ITSELF = 6000

let usualExpiry = String(DEFAULT_EXPIRY)
/** The text whose code is on show. */
let written: Lent | undefined
/** The list as it was last seen, which tells what has left it. */
let listed: Lent[] = []
/** Whether a password was typed that is gone with the page or popup: it is remembered nowhere, only that there was one. */
let isPasswordLost = false
/** The password that was suggested, and that of the code on show if it was that one: kept nowhere else. */
let suggested = ''
let writtenPassword: string | undefined

/** Everything as it was when the popup was closed. */
export async function restoreWrite() {
  const text = await draft.get('text')
  setText(text ?? '')
  written = await draft.get('written')
  // How a text was to be kept is over with that text, also where the popup closed before the answer came.
  if (written && text === undefined) forgetChoices()
  usualExpiry = String((await kept.get('expiresIn')) ?? DEFAULT_EXPIRY)
  writeOnce.checked = (await draft.get('once')) ?? false
  writeExpiry.value = String((await draft.get('seconds')) ?? usualExpiry)
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

export const codeOnShow = () => written?.code

/** Everything that has words in it. */
export function showWrite() {
  showSize()
  showWritten()
}

export async function tickWrite() {
  if (written && (await isOver(written))) {
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

/** Puts a text where the caret is, as if it were pasted. */
export function insertText(text: string) {
  const { value, selectionStart, selectionEnd } = writeText
  writeText.focus()
  setText(value.slice(0, selectionStart) + text + value.slice(selectionEnd))
  writeText.selectionStart = writeText.selectionEnd = selectionStart + text.length
}

/** Takes a paste that nothing else wants. In the box itself only a long one, which browsers insert slowly. */
export function takePastedText(event: ClipboardEvent) {
  const pasted = event.clipboardData?.getData('text') ?? ''
  const isForBox = event.target === writeText ? pasted.length > LONG_TEXT : !isField(event.target)
  if (!isForBox || element('write-form').offsetParent === null) return
  event.preventDefault()
  insertText(pasted)
}

/** Puts `text` into the box, and keeps it in case the popup closes. */
function setText(text: string) {
  writeText.classList.toggle('long', text.length > LONG_TEXT)
  writeText.value = text
  keepText()
}

function keepText() {
  void draft.set('text', writeText.value || undefined)
  forgetMessage('error_empty')
  showSize()
}

const sizeOf = (text: string) => new TextEncoder().encode(text).length

/** Whether a text of so many bytes is more than the server takes; says so, before it is sent. */
export function isTooLarge(bytes: number): boolean {
  if (maxTextBytes === undefined || bytes <= maxTextBytes) return false
  complain('sizeTooLarge', fileSize(bytes), fileSize(maxTextBytes))
  return true
}

function showSize() {
  const bytes = sizeOf(writeText.value)
  const size = element('write-size')
  forgetMessage('sizeTooLarge')
  size.hidden = isTooLarge(bytes) || bytes < LARGE
  size.textContent = maxTextBytes ? message('size', fileSize(bytes), fileSize(maxTextBytes)) : fileSize(bytes)
  element('write-form').classList.toggle('has-text', bytes > 0)
}

writeText.oninput = keepText
writePassword.oninput = () => {
  forgetMessage('passwordAgain')
  keepPassword()
  // Fetched while the person types.
  if (canSeal()) sealing().catch(() => {})
}
// It stays until the text is sent, so that nothing moves away from under the pointer.
writePassword.onfocus = () => {
  say(element('write-seal').querySelector('span') as HTMLElement, canSeal() ? 'sealNote' : 'unsealedNote')
  element('write-seal').hidden = false
}
button('suggest-password').onclick = () => {
  const show = element('write-form').querySelector<HTMLElement>('[aria-controls=write-password][aria-pressed=false]')
  show?.click()
  writePassword.value = suggested = suggestPassword()
  keepPassword()
  tell('suggested')
  writePassword.focus()
}
writeOnce.onchange = () => draft.set('once', writeOnce.checked || undefined)
writeExpiry.onchange = () => draft.set('seconds', Number(writeExpiry.value))

function forgetChoices() {
  writePassword.value = ''
  element('write-seal').hidden = true
  keepPassword()
  writeOnce.checked = false
  void draft.set('once', undefined)
  writeExpiry.value = usualExpiry
  void draft.set('seconds', undefined)
}

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
  if (isTooLarge(sizeOf(writeText.value))) return writeText.focus()
  if (isPasswordLost) {
    askForLostPassword()
    // Whoever then sends it without one means to.
    return keepPassword()
  }
  const problem = await busy(
    button('write-submit'),
    writePassword.value && canSeal() ? 'sealing' : 'writing',
    async () => {
      const text = writeText.value
      const password = writePassword.value || undefined
      const lent = await write({
        text,
        expiresIn: Number(writeExpiry.value),
        password,
        once: writeOnce.checked,
        writeKey: writeKey.value.trim() || undefined,
      })
      writeKey.value = ''
      writeKeyRow.hidden = true
      // What was typed while it was being sent stays for the next.
      if (writeText.value === text) setText('')
      forgetChoices()
      await showNew(lent, password === suggested ? password : undefined)
    },
  )
  if (!(problem instanceof Problem) || problem.reason !== 'write_key_required') return
  writeKeyRow.hidden = false
  writeKey.select()
}

/** Shows the code of a text that was written this moment, and copies it where the browser lets us. */
export async function showNew(lent: Lent, password?: string) {
  writtenPassword = password
  showInstead(lent, true)
  showTab('write')
  forgetMessage()
  reveal(element('written'), button('copy-code'))
  if (!(await copy(toCopy() ?? ''))) return
  showCopied(button('copy-code'), 'copyCode', COPIED_BY_ITSELF)
  tell(copiedCode())
}

function showWritten(isNew = false) {
  element('write-form').hidden = written !== undefined
  element('written').hidden = written === undefined
  for (const item of document.querySelectorAll<HTMLElement>('#history li')) {
    item.classList.toggle('on-show', item.dataset.code === written?.code)
  }
  element('written-password').hidden = writtenPassword === undefined
  const shown = element('written-password').querySelector('code')
  if (shown) shown.textContent = writtenPassword ?? ''
  if (!written) return
  const link = linkOf(written)
  showCode(element('written-code'), written.code, isNew)
  element('written-code').setAttribute('aria-label', spell(written.code))
  // It gets the focus, and so a screen reader says the code.
  button('copy-code').setAttribute('aria-describedby', 'written-code')
  showSpelling(element('written-spelling'), written.code)
  element<HTMLAnchorElement>('written-link').href = link
  // On a phone it breaks before the code, never inside the host.
  const host = document.createElement('span')
  host.className = 'host'
  host.textContent = new URL(link).host
  element('written-link').replaceChildren(host, document.createElement('wbr'), `/#${written.code}`)
  element('written-qr').replaceChildren(qrCode(link))
  const ifUnsealed = written.hasPassword ? 'writtenPassword' : 'writtenPlain'
  say(element('written-seal'), written.isSealed ? 'writtenSealed' : ifUnsealed)
  showTimeLeft()
}

function showTimeLeft() {
  if (!written) return
  const left = duration(written.expiresAt - now())
  element('written-left').textContent = message(written.once ? 'leftOnce' : 'left', left)
}

function showInstead(lent: Lent | undefined, isNew = false) {
  if (!isNew) writtenPassword = undefined
  written = lent
  showWritten(isNew)
  // Refused for want of room, it is still on show.
  draft.set('written', written).catch(() => {})
}

element('write-another').onclick = () => {
  showInstead(undefined)
  forgetMessage()
  writeText.focus()
}

// Phones pass things on by a sheet of their own; elsewhere copying is shorter.
button('share').hidden = !('share' in navigator && matchMedia('(pointer: coarse)').matches)
// That the person has closed the sheet is no problem.
button('share').onclick = () => written && navigator.share({ url: linkOf(written) }).catch(() => {})

/** The code, and behind it the password that was suggested for it. */
const toCopy = () => written && [written.code, writtenPassword].filter(Boolean).join(' ')
const copiedCode = () => (writtenPassword === undefined ? 'copiedCode' : 'copiedBoth')

copyOnPress(button('copy-code'), toCopy, copiedCode)
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
