/** Letters that are typed at nothing: the four of a code find their tiles, and whoever types on without a pause writes a text. */
import { element, input } from './elements.ts'
import { clearCode, isLoaded } from './load.ts'
import { insertText } from './write.ts'

/** Milliseconds after which a letter begins something new. */
const PAUSE = 1000

const loadCode = input('load-code')

/** What was typed so far, and when the last letter was, while it is not known what it becomes. */
let typed: string | undefined
let lastAt = 0

document.addEventListener('keydown', ({ key, ctrlKey, metaKey, altKey, timeStamp }) => {
  const isAtNothing = document.activeElement === document.body && loadCode.offsetParent !== null && !isLoaded()
  if (!isAtNothing || !/^\p{L}$/u.test(key) || ctrlKey || metaKey || altKey) return
  loadCode.focus()
  typed = ''
  lastAt = timeStamp
})

loadCode.addEventListener('beforeinput', (event) => {
  if (typed === undefined) return
  const isTypedOn = event.inputType === 'insertText' && event.timeStamp - lastAt < PAUSE
  typed = isTypedOn ? typed + event.data : undefined
  lastAt = event.timeStamp
  const isText = typed !== undefined && (typed.length > 4 || /\s/.test(typed))
  if (!isText || element('write-form').offsetParent === null) return
  event.preventDefault()
  clearCode()
  insertText(String(typed))
})

loadCode.addEventListener('blur', () => {
  typed = undefined
})
