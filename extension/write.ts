/** The tab Write: a text and how it is to be kept; then its code, in every form in which it can be passed on. */
import { askTwice, copyOnPress, showCopied } from './actions.ts'
import {
  canSeal,
  DEFAULT_EXPIRY,
  draft,
  history,
  historyChanged,
  hpke,
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
import { FOREIGN, plain, readCode, showCode, showSpelling, spell } from './code.ts'
import { button, element, input, isField, LONG_TEXT, reveal, textArea } from './elements.ts'
import { duration, fileSize, message, say } from './messages.ts'
import { qrCode } from './qr.ts'
import { receiptOf } from './receipts.ts'
import { busy, complain, forgetMessage, tell, tellProblem } from './status.ts'
import { suggestPassword } from './suggest.ts'
import { focusTab, showTab } from './tabs.ts'
import { receiverOf } from './waiting.ts'

const writeText = textArea('write-text')
const writeExpiry = element<HTMLSelectElement>('write-expiry')
const writeOnce = input('write-once')
const writePassword = input('write-password')
const writeKey = input('write-key')
const writeKeyRow = element('write-key-row')
const toCode = input('to-code')

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
/** Who waits for the text, if anybody; and its key, once that was asked for. */
let address: { code: string; isAsked?: boolean; receiver?: Promise<string | undefined> } | undefined
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
  written = listed.find(isWritten) ?? written
  addressTo(await draft.get('to'))
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

const isWritten = ({ code, server }: Lent) => code === written?.code && server === written.server

export const codeOnShow = () => written?.code

/** Addresses the text to whoever waits under `code`, or to nobody; asks for its key at once where the person has named it. */
export function addressTo(code: string | undefined, isNamed = false) {
  if (code === address?.code) return
  address = code === undefined ? undefined : { code }
  void draft.set('to', code)
  if (code) showInstead(undefined)
  closeToCode()
  element('to-seal').hidden = true
  showAddress()
  if (isNamed) void showReceiver()
}

function showAddress() {
  element('to-row').hidden = address === undefined
  for (const id of ['write-chips', 'to-ask']) element(id).hidden = address !== undefined
  if (address) {
    element('write-seal').hidden = true
    showCode(element('to-letters'), address.code)
    element('to-letters').setAttribute('aria-label', spell(address.code))
    say(button('write-submit'), 'sendTo', address.code)
  } else say(button('write-submit'), 'writeSubmit')
}

/** Tells who will be able to read the text, before it is sent. A link asks for nothing by itself: a person who types does. */
async function showReceiver() {
  const asked = address
  if (!asked || asked.isAsked) return
  asked.isAsked = true
  try {
    const publicKey = await receiverAt(asked)
    const words = publicKey && (await (await hpke()).wordsOf(publicKey, asked.code))
    if (asked !== address) return
    say(element('to-seal').children[0] as HTMLElement, words ? 'toSealed' : 'receivePlain')
    element('to-words').textContent = words ?? ''
    element('to-seal').hidden = false
  } catch (problem) {
    // Who has pressed the button already is told there.
    if (asked !== address || button('write-submit').hasAttribute('aria-busy')) return
    tellProblem(problem)
    if (problem instanceof Problem && problem.reason === 'nobody_waits') addressTo(undefined)
  }
}

/** Asked once, so that a text is sealed to the key whose words are shown. */
const receiverAt = (asked: NonNullable<typeof address>) =>
  (asked.receiver ??= receiverOf(asked.code).catch((problem) => {
    asked.receiver = undefined
    throw problem
  }))

button('to-open').onclick = () => {
  toCode.hidden = false
  button('to-open').hidden = true
  toCode.focus()
}
toCode.oninput = () => {
  const code = readCode(toCode.value)
  if (!code) return FOREIGN.test(plain(toCode.value)) ? complain('codeLetters') : forgetMessage('codeLetters')
  forgetMessage()
  addressTo(code, true)
  writeText.focus()
}
toCode.onblur = closeToCode
function closeToCode() {
  toCode.hidden = true
  toCode.value = ''
  button('to-open').hidden = false
}
toCode.onkeydown = (event) => {
  // Neither sends the text, nor closes the popup.
  if (event.key !== 'Enter' && event.key !== 'Escape') return
  event.preventDefault()
  if (event.key === 'Enter') return complain('codeIncomplete')
  closeToCode()
  button('to-open').focus()
}
button('to-drop').onclick = () => {
  addressTo(undefined)
  forgetMessage()
  writeText.focus()
}

/** Everything that has words in it. */
export function showWrite() {
  showAddress()
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
  revealWritten()
}

const revealWritten = () => reveal(element('written'), button(written?.isAddressed ? 'write-another' : 'copy-code'))

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
  void showReceiver()
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

writeText.oninput = () => {
  keepText()
  void showReceiver()
}
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
  if (isPasswordLost && !address) {
    askForLostPassword()
    // Whoever then sends it without one means to.
    return keepPassword()
  }
  const to = address
  const isSealing = !to && writePassword.value && canSeal()
  // That nobody waits takes no address away: the second press of a double click would give the text to everybody.
  await withWriteKey(button('write-submit'), (writeKey) =>
    busy(button('write-submit'), isSealing ? 'sealing' : 'writing', async () => {
      const text = writeText.value
      const password = (!to && writePassword.value) || undefined
      const lent = await write({
        text,
        expiresIn: Number(writeExpiry.value),
        password,
        once: !to && writeOnce.checked,
        writeKey,
        ...(to && { to: to.code, publicKey: await receiverAt(to) }),
      })
      // What was typed while it was being sent stays for the next.
      if (writeText.value === text) setText('')
      addressTo(undefined)
      forgetChoices()
      await showNew(lent, password === suggested ? password : undefined)
    }),
  )
}

/** Does `work` with the write key that was typed, and asks for one, before `submit`, where the server wants it. */
export async function withWriteKey(submit: HTMLElement, work: (writeKey?: string) => Promise<unknown>) {
  const problem = await work(writeKey.value.trim() || undefined)
  const isWanted = problem instanceof Problem && problem.reason === 'write_key_required'
  if (!problem) writeKey.value = ''
  if (!problem || isWanted) writeKeyRow.hidden = !isWanted
  if (!isWanted) return
  submit.before(writeKeyRow)
  writeKey.select()
}

/** Shows the code of a text that was written this moment, and copies it where the browser lets us. */
export async function showNew(lent: Lent, password?: string) {
  writtenPassword = password
  showInstead(lent, true)
  showTab('write')
  forgetMessage()
  revealWritten()
  if (lent.isAddressed || !(await copy(toCopy() ?? ''))) return
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
  say(element('written-title'), written.isAddressed ? 'sentTo' : 'written')
  element('written').classList.toggle('addressed', written.isAddressed === true)
  showCode(element('written-code'), written.code, isNew)
  element('written-code').setAttribute('aria-label', spell(written.code))
  // It gets the focus, and so a screen reader says the code.
  button('copy-code').setAttribute('aria-describedby', 'written-code')
  showSpelling(element('written-spelling'), written.code)
  showLink(element<HTMLAnchorElement>('written-link'), link)
  element('written-qr').replaceChildren(qrCode(link))
  const ifUnsealed = written.hasPassword ? 'writtenPassword' : 'writtenPlain'
  say(element('written-seal'), written.isSealed ? 'writtenSealed' : ifUnsealed)
  showTimeLeft()
}

/** On a phone it breaks before the code, never inside the host. */
export function showLink(anchor: HTMLAnchorElement, link: string) {
  anchor.href = link
  const { host } = new URL(link)
  const shown = document.createElement('span')
  shown.className = 'host'
  shown.textContent = host
  anchor.replaceChildren(shown, document.createElement('wbr'), link.slice(link.indexOf('/#')))
}

function showTimeLeft() {
  if (!written) return
  element('written-receipt').textContent = receiptOf(written)
  element('written-receipt').hidden = !written.receipt?.loadedAt
  const left = duration(written.expiresAt - now())
  const isTaken = written.receipt?.isGone
  element('written-left').textContent = isTaken
    ? message('receiptGone')
    : message(written.once ? 'leftOnce' : 'left', left)
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
  const found = listed.find(isWritten)
  // Erased or taken. Where the browser refuses to remember, no text was ever in the list.
  if (before.some(isWritten) && !found) hideWritten()
  if (!found) return
  written = found
  showTimeLeft()
})
