/** The tab Load: four letters, a password where one is needed, and the text. */
import { copyOnPress } from './actions.ts'
import { draft, isOver, type Loaded, load, now, Problem } from './api.ts'
import { FOREIGN, isCode, plain, readCode, showCode, showSpelling } from './code.ts'
import { button, element, input, isField, LONG_TEXT, reveal } from './elements.ts'
import { putInto } from './field.ts'
import { duration, fileSize, message, say } from './messages.ts'
import { busy, complain, forgetMessage, forgetWait, tell } from './status.ts'
import { SUGGESTED } from './suggest.ts'
import { showTab } from './tabs.ts'
import { linkIn, spelledHost, wantsMonospace } from './text-shape.ts'
import { addressTo } from './write.ts'

/** Which build this is: `build.ts` writes it here. */
declare const BROWSER: 'chromium' | 'firefox' | 'page'

/** Milliseconds that a field of a page waits for its text. */
const FIELD_PATIENCE = 300_000

const loadCode = input('load-code')
const loadPassword = input('load-password')
const loadPasswordRow = element('load-password-row')

/** The letters that were taken from the field. */
let taken = ''
/** The code of which the person was told that it is not sealed: whoever presses then means to send the password. */
let unsealed = ''
/** The text on show. */
let loaded: Loaded | undefined

/** Everything as it was when the popup was closed. */
export async function restoreLoad() {
  loaded = await draft.get('loaded')
  loadCode.value = taken = (await draft.get('code')) ?? loaded?.code ?? ''
  // A text to be read once is nowhere else any more: this computer's clock, which may be wrong, must not take it away.
  if (loaded && !loaded.once && (await isOver(loaded))) setCode('')
  element('field-note').hidden = !(await waitingField())
}

/** Everything that has words in it. */
export function showLoad() {
  showLetters()
  showLoaded()
}

/** Fills a code in, and leaves it to the person to load it. */
export function offerCode(code: string) {
  setCode(code)
  // Also while another text is waited for.
  element('load-form').hidden = false
  showTab('load')
  tell('codeReady')
  button('load-submit').focus()
}

/** Also puts away the text that was loaded before. */
function setCode(code: string) {
  // That the other text is locked is no reason to wait for this one.
  if (code !== taken) forgetWait('error_too_many_passwords')
  loaded = undefined
  void draft.set('loaded', undefined)
  putCode(code)
}

export function clearCode() {
  forgetMessage()
  setCode('')
}

/** Makes room for another text, unless this one is nowhere else any more. */
export const putAway = () => loaded?.once || setCode('')

/** Whether a text is on show. */
export const isLoaded = () => loaded !== undefined

function putCode(code: string) {
  loadCode.value = taken = code
  void draft.set('code', code || undefined)
  loadPasswordRow.hidden = true
  button('to-waiting').hidden = true
  unsealed = ''
  loadPassword.value = ''
  showLetters()
  showLoaded()
}

function showLetters(areTyped = false) {
  const code = typedLetters()
  showCode(element('load-letters'), code.padEnd(4), areTyped)
  const start = Math.min(loadCode.selectionStart ?? 3, 3)
  const end = Math.max(start + 1, loadCode.selectionEnd ?? 0)
  for (const [place, letter] of [...element('load-letters').children].entries()) {
    letter.classList.toggle('current', document.activeElement === loadCode && place >= start && place < end)
  }
  if (code) {
    delete element('load-spelling').dataset.say
    showSpelling(element('load-spelling'), code)
  } else {
    element('load-spelling').translate = true
    say(element('load-spelling'), 'codeHint')
  }
}

/** The letters in the field; one behind a whole code begins another. */
function typedLetters() {
  const letters = plain(loadCode.value).replace(/[^A-Za-z]/g, '')
  return (isCode(taken) && letters.startsWith(taken) && letters.slice(4, 8)) || letters.slice(0, 4)
}

/** Takes what was typed by hand: with its fourth letter a code is asked for, as far as that takes nothing away. */
function takeLetters() {
  complainOfLetters()
  const before = taken
  showLetters(true)
  setCode(typedLetters())
  if (taken !== before && document.documentElement.dataset.layout === 'first') showTab('load')
  if (taken !== before) loadTyped()
}

/** The code that was asked for last by typing it: a keyboard that composes tells of the same letters several times. */
let askedFor = ''

function loadTyped() {
  const code = typedLetters()
  if (isCode(code) && code !== askedFor) void loadText(false)
  askedFor = code
}

function complainOfLetters() {
  if (!isCode(typedLetters()) && FOREIGN.test(plain(loadCode.value))) complain('codeLetters')
  else if (typedLetters() !== taken) forgetMessage()
}

/** Takes the code out of a text that was pasted; without one the field stays as it was. */
function takePasted(text: string) {
  const code = readCode(text) ?? /^\s*([A-Za-z]{0,3})\s*$/.exec(plain(text))?.[1]
  if (code === undefined) {
    loadCode.value = taken
    showLetters()
    return complain(FOREIGN.test(text) ? 'codeLetters' : 'codeIncomplete')
  }
  forgetMessage()
  setCode(code)
  const password = suggestedIn(text)
  if (!password) return
  loadPassword.value = password
  loadPasswordRow.hidden = false
}

/** The password behind the code, in what is copied of a text whose password was suggested. */
function suggestedIn(text: string) {
  const [, code = '', password = ''] = /^\s*(\S+)\s+(\S+)\s*$/.exec(text) ?? []
  return isCode(code) && SUGGESTED.test(password) ? password : undefined
}

loadCode.onbeforeinput = ({ inputType }) => {
  const { selectionStart: place, selectionEnd, value } = loadCode
  // As with four boxes: where there is a letter already, a new one takes its place. Behind the last it begins another code.
  if (inputType === 'insertText' && place === selectionEnd && place !== null && value.length === 4) {
    loadCode.setSelectionRange(place, place + 1)
  }
}
loadCode.oninput = (event) => {
  const { isComposing, inputType, data } = event as Partial<InputEvent>
  // The keyboards of phones paste as if they typed, all at once.
  const isTyped = inputType?.startsWith('delete') || data?.length === 1
  if (!isComposing) return isTyped ? takeLetters() : takePasted(pastedText())
  // Korean keyboards compose their letters, and Android's compose even Latin ones: changing the value would garble them.
  complainOfLetters()
  showLetters()
  loadTyped()
}
/** What the field holds, without the code that the paste was meant to replace. */
function pastedText() {
  const { value } = loadCode
  return isCode(taken) && !readCode(value) ? value.replace(taken, '') : value
}

loadCode.addEventListener('compositionend', () => loaded?.code === typedLetters() || takeLetters())
document.addEventListener('selectionchange', () => document.activeElement === loadCode && showLetters())
loadCode.onblur = () => showLetters()
// Whoever comes back to a whole code types or pastes another; a click still finds its one letter.
loadCode.onfocus = () => isCode(loadCode.value) && loadCode.select()
// Nor is a letter to be mended whose text is here.
loadCode.onclick = () => loaded && loadCode.select()
loadCode.onkeydown = (event) => {
  if (event.key !== 'Escape' || loadCode.value === '') return
  // The popup stays open.
  event.preventDefault()
  clearCode()
}

/** Takes a code that is pasted into its field, or anywhere but into a field. Without one, what is pasted is for the box, where that is on show. */
export function takePastedCode(event: ClipboardEvent) {
  const pasted = event.clipboardData?.getData('text') ?? ''
  const isHere = event.target === loadCode
  const isElsewhere = isField(event.target) || loadCode.offsetParent === null || loaded
  // A part of a code goes where the caret is.
  if (isHere ? /^\s*[A-Za-z]{0,3}\s*$/.test(pasted) : isElsewhere) return
  // A text may hold a word of four letters; what is nothing but a code, or a link to one, is no text.
  const isCodeAlone = !/\S\s+\S/.test(pasted) || isCode(plain(pasted).replace(/\s/g, '')) || suggestedIn(pasted)
  const isText = !readCode(pasted) || !isCodeAlone
  if (!isHere && isText && element('write-form').offsetParent !== null) return
  event.preventDefault()
  loadCode.focus()
  takePasted(pasted)
}

element('load-form').onsubmit = (event) => {
  event.preventDefault()
  const isShown = loaded !== undefined && loaded.code === typedLetters()
  if (isShown) return reveal(element('loaded'), button('copy-text'))
  if (isCode(typedLetters())) return void loadText(true)
  complain('codeIncomplete')
  loadCode.focus()
}

/** Whether the button was pressed, be it while the code was asked for already; and the password that was there then. */
let isPressed = false
let pressedWith = ''

/** Asks for the text under the code that is there; unless it is to be taken, one that can be read only once stays. */
async function loadText(take: boolean) {
  if (button('load-submit').hasAttribute('aria-busy')) {
    if (take) [isPressed, pressedWith] = [true, loadPassword.value]
    return
  }
  const password = loadPassword.value
  isPressed = take
  pressedWith = password
  const code = typedLetters()
  const problem = await busy(button('load-submit'), 'loading', async () => {
    // Where a letter has been mended meanwhile, the answer is to a code that nobody means any more.
    const isMeant = () => take || code === typedLetters()
    const isUnsealedKnown = unsealed === code
    const text = await load({ code, password: password || undefined, take, isUnsealedKnown }).catch((thrown) => {
      if (isMeant()) throw thrown
    })
    if (text && isMeant()) await showText(text, password !== '' && text.isOpen)
    else forgetMessage()
  })
  if (code !== typedLetters()) {
    if (isCode(typedLetters())) await loadText(false)
    return
  }
  if (!(problem instanceof Problem)) return
  if (isPressed && (problem.reason === 'only_once' || pressedWith !== password)) return loadText(true)
  if (problem.reason === 'not_sealed') {
    unsealed = code
    // A second press, of a double click or of Enter that is held, must not send what was there before anybody could read.
    loadPassword.value = ''
  }
  if (problem.reason === 'not_sealed' || problem.reason.includes('password')) {
    loadPasswordRow.hidden = false
    loadPassword.select()
  }
  button('to-waiting').hidden = problem.reason !== 'receiving'
  // Another letter begins another code, Backspace mends the last.
  if (problem.reason === 'not_found') loadCode.focus()
}

/** Shows a text that was waited for. Its code leads nowhere any more. */
export async function showReceived(text: Loaded) {
  await showText(text)
  await draft.set('code', undefined)
}

async function showText(text: Loaded, isPasswordUnused = false) {
  loaded = text
  putCode(text.code)
  forgetMessage()
  showTab('load')
  reveal(element('loaded'), button('copy-text'))
  // What was to be sealed may have been replaced by who has the server.
  if (isPasswordUnused) complain('passwordUnused')
  else tell('textIsHere')
  await fillField(text.text)
}

function showLoaded() {
  element('loaded').hidden = loaded === undefined
  element('load-form').classList.toggle('done', loaded !== undefined)
  element('loaded-note').hidden = !loaded?.once
  const { received } = loaded ?? {}
  element('loaded-note').classList.toggle('warning', received !== 'sealed')
  say(element('loaded-note'), received ? (received === 'sealed' ? 'receivedSealed' : 'receivedPlain') : 'taken')
  const text = loaded?.text ?? ''
  element('loaded-text').classList.toggle('long', text.length > LONG_TEXT)
  element('loaded-text').textContent = text
  // A box shows what fits; paper takes all of it.
  element('printed').textContent = text
  showMonospace(wantsMonospace(text))
  element('loaded-size').textContent = fileSize(new Blob([text]).size)
  tickLoad()
  const link = linkIn(text)
  element('open-link').hidden = link === undefined
  if (link) element<HTMLAnchorElement>('open-link').href = link.href
  const host = link && spelledHost(link)
  element('link-host').hidden = host === undefined
  element('link-host').textContent = host ?? ''
}

/** What is left of the time of the text that was loaded: one that is taken has none. */
export function tickLoad() {
  element('loaded-left').hidden = !loaded || loaded.once
  if (loaded) element('loaded-left').textContent = message('left', duration(loaded.expiresAt - now()))
}

function showMonospace(isMonospace: boolean) {
  element('loaded-text').classList.toggle('monospace', isMonospace)
  element('monospace').setAttribute('aria-pressed', String(isMonospace))
}

element('monospace').onclick = ({ currentTarget }) =>
  showMonospace((currentTarget as HTMLElement).getAttribute('aria-pressed') !== 'true')

/** The field that was asked for, unless so long ago that nobody expects it to fill any more. */
async function waitingField() {
  const field = await draft.get('field')
  const isExpected = field && (field.isReceiving || Date.now() - field.askedAt < FIELD_PATIENCE)
  return isExpected ? field : undefined
}

async function fillField(text: string) {
  const field = await waitingField()
  if (!field) return
  // The web page knows no fields of others, and does without what fills them.
  const filled = BROWSER === 'page' ? 'intoFieldFailed' : await putInto(field, text)
  if (filled === 'intoFieldDone') tell(filled)
  else complain(filled)
  await forgetField()
}

export async function forgetField() {
  await draft.set('field', undefined)
  element('field-note').hidden = true
}

element('field-cancel').onclick = forgetField
button('to-waiting').onclick = () => {
  const code = typedLetters()
  setCode('')
  showTab('write')
  addressTo(code, true)
}
copyOnPress(button('copy-text'), () => loaded?.text, 'copiedText')
element('save-text').onclick = () => {
  if (!loaded) return
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([loaded.text], { type: 'text/plain;charset=utf-8' }))
  link.download = `extextcloud-${loaded.code}.txt`
  link.click()
  URL.revokeObjectURL(link.href)
}
