/** The line that tells a person what happened, what is wrong, and how long to wait. */
import { Problem } from './api.ts'
import { duration, type MessageKey, message, problemKey, say, sayNothing } from './messages.ts'

const line = document.getElementById('message') as HTMLElement
/** Apart from the line, so that a screen reader does not hear every second of it. */
const timer = document.getElementById('wait') as HTMLElement

interface Wait {
  key: MessageKey
  args: (string | number)[]
  /** Milliseconds since 1970. */
  until: number
}

/** What each tab has to wait for, by its panel's id: told again whenever nothing else is, until it is over. */
const waits = new Map<string, Wait>()
/** The id of the panel that is open. */
let panel = ''

/** Takes the message away; with `only`, no other than that. */
export function forgetMessage(only?: MessageKey) {
  if (only && line.dataset.say !== only) return
  const wait = waits.get(panel)
  // Already told: a screen reader need not hear it with every letter.
  if (wait && line.dataset.say === wait.key) return
  timer.hidden = true
  line.className = ''
  sayNothing(line)
  if (wait) tellWait(wait)
}

/** Tells what the panel that opens has to wait for, and nothing of the other. */
export function openPanel(id: string) {
  panel = id
  forgetMessage()
}

/** For when what was waited for is asked for no more. */
export function forgetWait(key: MessageKey) {
  const wait = waits.get(panel)
  if (wait?.key === key) waits.delete(panel)
  forgetMessage(key)
}

function tellWait({ key, args }: Wait) {
  complain(key, ...args)
  tickWait()
}

export function tell(key: MessageKey, ...args: (string | number)[]) {
  timer.hidden = true
  line.className = ''
  say(line, key, ...args)
}

export function complain(key: MessageKey, ...args: (string | number)[]) {
  tell(key, ...args)
  line.className = 'error'
  line.scrollIntoView({ block: 'nearest' })
}

const QUESTIONS = ['password_required', 'not_sealed', 'only_once', 'receiving']

/** Tells what to do about whatever was thrown; a wait is that of the panel with the id `place`. */
export function tellProblem(thrown: unknown, place = panel) {
  const { reason, details } = Problem.of(thrown)
  const detail = details.triesLeft === 0 ? 'last' : details.field
  // A question blames nobody.
  const say = QUESTIONS.includes(reason) ? tell : complain
  const key = problemKey(reason, detail)
  const args = [details.triesLeft ?? '']
  say(key, ...args)
  if (details.retryAfter) waits.set(place, { key, args, until: Date.now() + details.retryAfter * 1000 })
  tickWait()
}

/** To be called every second. */
export function tickWait() {
  const wait = waits.get(panel)
  if (!wait) return
  const left = wait.until - Date.now()
  const isTold = line.dataset.say === wait.key
  if (left <= 0) waits.delete(panel)
  if (!isTold) return
  if (left <= 0) return tell('waitOver')
  timer.hidden = false
  timer.textContent = message('wait', duration(left))
}

/** Does `work` while `button` shows that it is under way; tells of a problem, and returns it. */
export async function busy(button: HTMLButtonElement, progress: MessageKey, work: () => Promise<void>) {
  // Not disabled: that would take the focus away from whoever uses the keyboard.
  if (button.hasAttribute('aria-busy')) return
  button.setAttribute('aria-busy', 'true')
  tell(progress)
  const place = button.closest('[role=tabpanel]')?.id ?? panel
  const before = waits.get(place)
  // Whoever tries again learns anew whether there is anything to wait for.
  waits.delete(place)
  try {
    await work()
  } catch (thrown) {
    const isUnanswered = thrown instanceof Problem && /^(offline|unreachable)$/.test(thrown.reason)
    if (before && isUnanswered) waits.set(place, before)
    tellProblem(thrown, place)
    return thrown
  } finally {
    button.removeAttribute('aria-busy')
  }
}
