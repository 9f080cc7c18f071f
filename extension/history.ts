/** “My texts”: the codes that were written here, each with its time, to be copied, shown again and erased. */
import { askTwice, copyOnPress } from './actions.ts'
import { history, historyChanged, isExtension, type Lent } from './api.ts'
import { showCode, spell } from './code.ts'
import { element } from './elements.ts'
import { duration, message, say } from './messages.ts'
import { focusTab } from './tabs.ts'
import { reopen } from './write.ts'

export async function showHistory() {
  const lents = await history()
  element('history').hidden = lents.length === 0
  element('history-list').replaceChildren(...lents.map(historyItem))
}

function historyItem(lent: Lent): HTMLLIElement {
  const item = document.createElement('li')
  item.dataset.code = lent.code
  const show = document.createElement('button')
  show.className = 'show-code'
  show.id = `lent-${lent.code}`
  show.setAttribute('aria-label', `${lent.code}: ${spell(lent.code)}`)
  showCode(show, lent.code)
  show.title = message('showAgain')
  show.onclick = () => reopen(lent)
  const left = document.createElement('span')
  left.className = 'left'
  left.dataset.expiresAt = String(lent.expiresAt)
  left.textContent = duration(lent.expiresAt - Date.now())
  const copyButton = document.createElement('button')
  copyButton.className = 'quiet'
  say(copyButton, 'copyText')
  copyOnPress(copyButton, () => lent.code, 'copiedCode')
  const eraseButton = document.createElement('button')
  eraseButton.className = 'quiet danger'
  say(eraseButton, 'erase')
  askTwice(eraseButton, () => lent)
  for (const control of [copyButton, eraseButton]) control.setAttribute('aria-describedby', show.id)
  const about = document.createElement('span')
  about.className = 'about'
  about.append(left, ...traits(lent))
  item.append(show, about, copyButton, eraseButton)
  return item
}

/** In a word each, what a text asks of its reader. */
function traits({ once, hasPassword }: Lent): HTMLElement[] {
  const said = [once && 'listOnce', hasPassword && 'listPassword'] as const
  return said
    .filter((key) => key !== false)
    .map((key) => {
      const trait = document.createElement('span')
      trait.className = 'trait'
      say(trait, key)
      return trait
    })
}

export async function tickHistory() {
  const times = [...document.querySelectorAll<HTMLElement>('#history .left')]
  const isOver = (time: HTMLElement) => Number(time.dataset.expiresAt) <= Date.now()
  if (times.some(isOver)) return showHistory()
  for (const time of times) time.textContent = duration(Number(time.dataset.expiresAt) - Date.now())
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
