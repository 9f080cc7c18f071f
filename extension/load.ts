/** The tab Load: four letters, a password where one is needed, and the text. */
import { copyOnPress } from './actions.ts'
import { draft, type Loaded, load, Problem } from './api.ts'
import { isCode, readCode, showCode, showSpelling } from './code.ts'
import { button, element, input, LONG_TEXT, reveal } from './elements.ts'
import { putInto } from './field.ts'
import { say } from './messages.ts'
import { busy, complain, forgetMessage, forgetWait, tell } from './status.ts'
import { showTab } from './tabs.ts'

/** Milliseconds that a field of a page waits for its text. */
const FIELD_PATIENCE = 300_000

const loadCode = input('load-code')
const loadPassword = input('load-password')
const loadPasswordRow = element('load-password-row')

/** The letters that were taken from the field. */
let taken = ''
/** The text on show. */
let loaded: Loaded | undefined

/** Everything as it was when the popup was closed. */
export async function restoreLoad() {
  loadCode.value = taken = (await draft.get('code')) ?? ''
  loaded = await draft.get('loaded')
  // A text to be read once is nowhere else any more: this computer's clock, which may be wrong, must not take it away.
  if (loaded && !loaded.once && loaded.expiresAt <= Date.now()) setCode('')
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
  showLoaded()
  showTab('load')
  tell('codeReady')
  button('load-submit').focus()
}

/** Also puts away the text that was loaded before. */
function setCode(code: string) {
  // That the other text is locked is no reason to wait for this one.
  if (code !== taken) forgetWait('error_too_many_passwords')
  loadCode.value = taken = code
  loaded = undefined
  void draft.set('loaded', undefined)
  void draft.set('code', code || undefined)
  loadPasswordRow.hidden = true
  loadPassword.value = ''
  showLetters()
}

function showLetters() {
  const code = typedLetters()
  showCode(element('load-letters'), code.padEnd(4))
  if (document.activeElement === loadCode) {
    const start = Math.min(loadCode.selectionStart ?? 3, 3)
    const current = [...element('load-letters').children].slice(start, Math.max(start + 1, loadCode.selectionEnd ?? 0))
    for (const letter of current) letter.classList.add('current')
  }
  if (code) {
    delete element('load-spelling').dataset.say
    showSpelling(element('load-spelling'), code)
  } else say(element('load-spelling'), 'codeHint')
}

/** The letters in the field; one behind a whole code begins another. */
function typedLetters() {
  const letters = loadCode.value.replace(/[^A-Za-z]/g, '')
  return (isCode(taken) && letters.startsWith(taken) && letters.slice(4, 8)) || letters.slice(0, 4)
}

function takeLetters() {
  complainOfLetters()
  setCode(typedLetters())
}

/** Perhaps a keyboard is set to Korean, or a small l is taken for a 1. */
const FOREIGN = /(?![A-Za-z])[\p{L}\d]/u

function complainOfLetters() {
  if (!isCode(typedLetters()) && FOREIGN.test(loadCode.value)) complain('codeLetters')
  else if (typedLetters() !== taken) forgetMessage()
}

/** Takes the code out of a text that was pasted; without one the field stays as it was. */
function takePasted(text: string) {
  const code = readCode(text) ?? /^\s*([A-Za-z]{0,3})\s*$/.exec(text)?.[1]
  if (code === undefined) {
    loadCode.value = taken
    showLetters()
    return complain(FOREIGN.test(text) ? 'codeLetters' : 'codeIncomplete')
  }
  forgetMessage()
  setCode(code)
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
}
/** What the field holds, without the code that the paste was meant to replace. */
function pastedText() {
  const { value } = loadCode
  return isCode(taken) && !readCode(value) ? value.replace(taken, '') : value
}

loadCode.addEventListener('compositionend', takeLetters)
document.addEventListener('selectionchange', () => document.activeElement === loadCode && showLetters())
loadCode.onblur = showLetters
// Whoever comes back to a whole code types or pastes another; a click still finds its one letter.
loadCode.onfocus = () => isCode(loadCode.value) && loadCode.select()
loadCode.onkeydown = (event) => {
  if (event.key !== 'Escape' || loadCode.value === '') return
  // The popup stays open.
  event.preventDefault()
  forgetMessage()
  setCode('')
}

document.addEventListener('paste', (event) => {
  const { target } = event
  if (target !== loadCode && (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement)) return
  if (element('load-panel').hidden || loaded) return
  const pasted = event.clipboardData?.getData('text') ?? ''
  // A part of a code goes where the caret is.
  if (target === loadCode && /^\s*[A-Za-z]{0,3}\s*$/.test(pasted)) return
  event.preventDefault()
  takePasted(pasted)
  loadCode.focus()
})

element('load-form').onsubmit = async (event) => {
  event.preventDefault()
  const code = typedLetters()
  if (!isCode(code)) {
    complain('codeIncomplete')
    return loadCode.focus()
  }
  const problem = await busy(button('load-submit'), 'loading', async () => {
    loaded = await load(code, loadPassword.value || undefined)
    forgetMessage()
    loadPassword.value = ''
    loadPasswordRow.hidden = true
    showLoaded()
    reveal(element('loaded'), button('copy-text'))
    tell('textIsHere')
    // The extension's background has kept it. The web page, whose computer may be borrowed, keeps it nowhere.
    await fillField(loaded.text)
  })
  if (!(problem instanceof Problem)) return
  if (problem.reason.includes('password')) {
    loadPasswordRow.hidden = false
    loadPassword.select()
  }
  if (problem.reason === 'not_found') loadCode.select()
}

function showLoaded() {
  element('load-form').hidden = loaded !== undefined
  element('loaded').hidden = loaded === undefined
  element('loaded-note').hidden = !loaded?.once
  const text = loaded?.text ?? ''
  element('loaded-text').classList.toggle('long', text.length > LONG_TEXT)
  element('loaded-text').textContent = text
  const link = element<HTMLAnchorElement>('open-link')
  link.hidden = !loaded || !/^https?:\/\/\S+$/.test(loaded.text.trim())
  if (loaded && !link.hidden) link.href = loaded.text.trim()
}

/** The field that was asked for, unless so long ago that nobody expects it to fill any more. */
async function waitingField() {
  const field = await draft.get('field')
  return field && Date.now() - field.askedAt < FIELD_PATIENCE ? field : undefined
}

async function fillField(text: string) {
  const field = await waitingField()
  if (!field) return
  const filled = await putInto(field, text)
  if (filled === 'intoFieldDone') tell(filled)
  else complain(filled)
  await forgetField()
}

async function forgetField() {
  await draft.set('field', undefined)
  element('field-note').hidden = true
}

element('field-cancel').onclick = forgetField
copyOnPress(button('copy-text'), () => loaded?.text, 'copiedText')
element('save-text').onclick = () => {
  if (!loaded) return
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([loaded.text], { type: 'text/plain;charset=utf-8' }))
  link.download = `extextcloud-${loaded.code}.txt`
  link.click()
  URL.revokeObjectURL(link.href)
}
element('load-another').onclick = () => {
  forgetMessage()
  setCode('')
  showLoaded()
  loadCode.focus()
}
