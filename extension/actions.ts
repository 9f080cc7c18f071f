/** What one does with a text that was written: copy its code, erase it. */
import { erase, type Lent } from './api.ts'
import { copy } from './clipboard.ts'
import { type MessageKey, say } from './messages.ts'
import { busy, complain, forgetMessage, tell } from './status.ts'

/** Milliseconds that an erase button waits for being pressed again. */
const SECOND_THOUGHT = 5000
/** Milliseconds that it waits once the focus has gone: what is pressed instead must not move away under the pointer. */
const PRESS = 300
/** Milliseconds within which a second press is but a double click. */
const DOUBLE_CLICK = 600

/** Milliseconds that a button says that it has copied. */
const COPIED_SHOWN = 2000

const copiedTimers = new WeakMap<HTMLElement, ReturnType<typeof setTimeout>>()

/** Has a button say, for some milliseconds, that it has copied; its size stays. */
export function showCopied(copyButton: HTMLButtonElement, label: MessageKey, milliseconds = COPIED_SHOWN) {
  clearTimeout(copiedTimers.get(copyButton))
  copyButton.style.width = `${copyButton.offsetWidth}px`
  say(copyButton, 'copied')
  if (copyButton.scrollWidth > copyButton.clientWidth) copyButton.textContent = '✓'
  const timer = setTimeout(() => {
    say(copyButton, label)
    copyButton.style.width = ''
  }, milliseconds)
  copiedTimers.set(copyButton, timer)
}

/** Copies what `find` finds when `copyButton` is pressed. The button itself says so too: in a long list the line is out of view. */
export function copyOnPress(
  copyButton: HTMLButtonElement,
  find: () => string | undefined,
  done: MessageKey | (() => MessageKey),
) {
  const label = copyButton.dataset.say as MessageKey
  copyButton.onclick = async () => {
    const text = find()
    if (text === undefined) return
    if (!(await copy(text))) return complain('copyFailed')
    tell(typeof done === 'function' ? done() : done)
    showCopied(copyButton, label)
  }
}

/** Erases what `find` finds, when `eraseButton` is pressed and shortly after pressed again; then does what is to be done `afterwards`. */
export function askTwice(eraseButton: HTMLButtonElement, find: () => Lent | undefined, afterwards = () => {}) {
  let asked: Lent | undefined
  let askedAt = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  const ask = (lent: Lent | undefined) => {
    clearTimeout(timer)
    if (asked && !lent) forgetMessage('eraseAgain')
    asked = lent
    askedAt = Date.now()
    say(eraseButton, lent ? 'eraseReally' : 'erase')
    eraseButton.classList.toggle('armed', lent !== undefined)
  }
  eraseButton.onblur = () => {
    clearTimeout(timer)
    timer = setTimeout(() => ask(undefined), PRESS)
  }
  eraseButton.onclick = async ({ detail }) => {
    if (asked && (detail > 1 || Date.now() - askedAt < DOUBLE_CLICK)) return
    const lent = find()
    if (!lent) return
    if (asked?.eraseToken !== lent.eraseToken) {
      ask(lent)
      tell('eraseAgain')
      timer = setTimeout(() => ask(undefined), SECOND_THOUGHT)
      return
    }
    ask(undefined)
    await busy(eraseButton, 'erasing', async () => {
      await erase(lent)
      tell('erased')
      afterwards()
    })
  }
}
