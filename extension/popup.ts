/** The popup and the web page: brings its tabs to life, in the person's language, as they were left. */
import { draft, isExtension, kept, Problem } from './api.ts'
import { isCode } from './code.ts'
import { element, input } from './elements.ts'
import { showHistory, tickHistory } from './history.ts'
import { offerCode, restoreLoad, showLoad } from './load.ts'
import { currentLanguage, speak, translate } from './messages.ts'
import { complain, forgetMessage, tellProblem, tickWait } from './status.ts'
import { showTab } from './tabs.ts'
import { addText, askForLostPassword, restoreWrite, showWrite, tickWrite } from './write.ts'

async function start() {
  document.documentElement.dataset.home = isExtension ? 'extension' : 'page'
  element('options').hidden = !isExtension
  speak(await kept.get('language'))
  await restoreWrite()
  await restoreLoad()
  await showEverything()
  if (isExtension) await chrome.action.setBadgeText({ text: '' })
  const [tab, lack] = await Promise.all([draft.get('tab'), draft.get('lack')])
  document.documentElement.dataset.ready = ''
  showTab(tab ?? 'write')
  // In case nobody saw the notification.
  if (lack) complain(lack)
  void draft.set('lack', undefined)
  askForLostPassword()
  readAddress()
  askForShared()
  tellIfOffline()
  setInterval(tick, 1000)
  // A browser may refuse it, in a private window or without HTTPS: then only the page cannot be opened offline.
  if (!isExtension) await navigator.serviceWorker?.register('/offline.js').catch(() => {})
}

/** Everything again, in the language of now. */
async function showEverything() {
  translate()
  element('language').lang = otherLanguage()
  showWrite()
  showLoad()
  await showHistory()
}

async function tick() {
  tickWait()
  await tickWrite()
  await tickHistory()
}

/** A link brings a code, `/#aBcD`, and loads nothing by itself. */
function readAddress() {
  const code = location.hash.slice(1)
  if (code !== 'share-lost' && !isCode(code)) return
  // Out of the address, where others would read it; the list of visited pages keeps it.
  window.history.replaceState(null, '', location.pathname)
  if (isCode(code)) offerCode(code)
  else complain('shareLost')
}

/** A phone's share menu brings a text, which the service worker keeps for the page. It is not sent by itself. */
function askForShared() {
  const worker = isExtension ? undefined : navigator.serviceWorker
  if (!worker) return
  worker.onmessage = ({ data }) => addText(data)
  worker.controller?.postMessage('shared')
}

function tellIfOffline() {
  if (!navigator.onLine) tellProblem(new Problem('offline'))
}

window.onhashchange = readAddress
window.onoffline = tellIfOffline
window.ononline = () => element('message').dataset.say === 'error_offline' && forgetMessage()

for (const show of document.querySelectorAll<HTMLButtonElement>('.show')) {
  show.onclick = () => {
    const field = input(show.getAttribute('aria-controls') as string)
    const isShown = field.type === 'password'
    field.type = isShown ? 'text' : 'password'
    show.setAttribute('aria-pressed', String(isShown))
  }
}

const otherLanguage = () => (currentLanguage() === 'ko' ? 'en' : 'ko')

element('language').onclick = async () => {
  const language = otherLanguage()
  await kept.set('language', language)
  speak(language)
  await showEverything()
}

start().catch(tellProblem)
