/** “My texts”: the codes that were written here, each with its time, to be copied, shown again and erased. */
import { askTwice, copyOnPress } from './actions.ts'
import { history, historyChanged, isExtension, type Lent, now } from './api.ts'
import { showCode, spell } from './code.ts'
import { element } from './elements.ts'
import { clockTime, currentLanguage, duration, fileSize, message, say } from './messages.ts'
import { receiptOf } from './receipts.ts'
import { focusTab } from './tabs.ts'
import { codeOnShow, reopen } from './write.ts'

/** Makes items only for what is new: made anew, one would lose the focus, and the question whether to erase. */
export async function showHistory() {
  const lents = await history()
  const list = element('history-list')
  const shown = new Map([...list.querySelectorAll('li')].map((item) => [item.dataset.key, item]))
  const items = lents.map((lent) => shown.get(keyOf(lent)) ?? historyItem(lent))
  for (const item of shown.values()) if (!items.includes(item)) item.remove()
  for (const [place, item] of items.entries()) showFate(item, lents[place] as Lent)
  list.prepend(...items.filter((item) => !item.isConnected))
  element('history').hidden = lents.length === 0
}

/** What an item shows that never changes, and in which language. */
const keyOf = ({ receipt, ...lent }: Lent) => JSON.stringify([currentLanguage(), lent])

/** Shows what has become of a text. */
function showFate(item: HTMLElement, lent: Lent) {
  const receipt = item.querySelector<HTMLElement>('.receipt')
  if (!receipt) return
  receipt.textContent = receiptOf(lent)
  receipt.hidden = receipt.textContent === ''
  item.classList.toggle('gone', lent.receipt?.isGone === true)
  tickTime(item.querySelector('.left') as HTMLElement)
}

function historyItem(lent: Lent): HTMLLIElement {
  const item = document.createElement('li')
  item.dataset.key = keyOf(lent)
  item.dataset.code = lent.code
  item.classList.toggle('on-show', lent.code === codeOnShow())
  const show = document.createElement('button')
  show.className = 'show-code'
  show.id = `lent-${lent.code}`
  show.setAttribute('aria-label', `${lent.code}: ${spell(lent.code)}`)
  showCode(show, lent.code)
  show.title = message('showAgain')
  show.onclick = () => reopen(lent)
  const copyButton = document.createElement('button')
  copyButton.className = 'quiet'
  say(copyButton, 'copyText')
  copyOnPress(copyButton, () => lent.code, 'copiedCode')
  // Who waited for it alone can read it.
  copyButton.hidden = lent.isAddressed === true
  const eraseButton = document.createElement('button')
  eraseButton.className = 'quiet danger'
  say(eraseButton, 'erase')
  askTwice(eraseButton, () => lent)
  for (const control of [copyButton, eraseButton]) control.setAttribute('aria-describedby', show.id)
  const about = document.createElement('div')
  about.className = 'about'
  about.append(nature(lent), traits(lent))
  item.append(show, about, copyButton, eraseButton)
  return item
}

/** When it was written and how long it is, since the list does not know what it says. */
function nature({ writtenAt, size }: Lent): HTMLElement {
  const line = document.createElement('span')
  line.textContent = [writtenAt && clockTime(writtenAt), size && fileSize(size)].filter(Boolean).join(' · ')
  return line
}

/** What is left of its time and, in a word each, what it asks of its reader. */
function traits({ expiresAt, once, hasPassword, isSealed }: Lent): HTMLElement {
  const line = document.createElement('span')
  line.className = 'chips'
  const left = document.createElement('span')
  left.className = 'trait left'
  left.dataset.expiresAt = String(expiresAt)
  const receipt = document.createElement('span')
  receipt.className = 'trait receipt'
  line.append(receipt, left)
  for (const key of [once && 'listOnce', hasPassword && (isSealed ? 'writtenSealed' : 'listPassword')] as const) {
    if (!key) continue
    const trait = document.createElement('span')
    trait.className = 'trait'
    say(trait, key)
    line.append(trait)
  }
  return line
}

export async function tickHistory() {
  const times = [...document.querySelectorAll<HTMLElement>('#history .left')]
  const isOver = (time: HTMLElement) => Number(time.dataset.expiresAt) <= now()
  if (times.some(isOver)) return showHistory()
  for (const time of times) tickTime(time)
}

function tickTime(time: HTMLElement) {
  const isGone = time.closest('.gone') !== null
  time.textContent = isGone ? message('receiptGone') : duration(Number(time.dataset.expiresAt) - now())
}

// In another tab or popup.
const changedElsewhere = () => historyChanged.dispatchEvent(new Event('change'))
if (isExtension) chrome.storage.local.onChanged.addListener(({ history }) => history && changedElsewhere())
else window.addEventListener('storage', ({ key }) => key === 'history' && changedElsewhere())

historyChanged.addEventListener('change', async () => {
  await showHistory()
  // The button that erased has gone with its text.
  if (document.activeElement === document.body) focusTab()
})
