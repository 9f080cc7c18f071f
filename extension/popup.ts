/** The popup and the web page: brings its tabs to life, in the person's language, as they were left. */
import { draft, history, isExtension, isPopup, kept, Problem, shortcutOf } from './api.ts'
import { isCode } from './code.ts'
import { button, element, input } from './elements.ts'
import { showHistory, tickHistory } from './history.ts'
import { prepareIncoming, tellLack } from './incoming.ts'
import type { Language } from './languages.ts'
import { offerCode, restoreLoad, showLoad, takePastedCode, tickLoad } from './load.ts'
import { currentLanguage, type MessageKey, offerLanguages, say, speak, translate } from './messages.ts'
import { complain, forgetMessage, tellProblem, tickWait } from './status.ts'
import './presses.ts'
import { watchReceipts } from './receipts.ts'
import { restoreReceive, showReceive, tickReceive } from './receive.ts'
import './stray.ts'
import { greet, showTab } from './tabs.ts'
import { addressTo, addText, askForLostPassword, restoreWrite, showWrite, takePastedText, tickWrite } from './write.ts'

const language = element<HTMLSelectElement>('language')

/** Characters of a shared text that are shown before it is taken. */
const PREVIEW = 1000

async function start() {
  document.documentElement.dataset.home = isPopup ? 'extension' : 'page'
  element('options').hidden = !isExtension
  offerLanguages(language)
  await speak(await kept.get('language'))
  await restoreWrite()
  await restoreLoad()
  await showFooter()
  await showEverything()
  if (isExtension) await chrome.action.setBadgeText({ text: '' })
  const tab = await draft.get('tab')
  document.documentElement.dataset.ready = ''
  if (tab) showTab(tab)
  else if (isExtension) showTab('write')
  else greet((await history()).length === 0)
  await prepareIncoming()
  await tellLack()
  askForLostPassword()
  readAddress()
  restoreReceive().catch(tellProblem)
  void watchReceipts()
  askForShared()
  tellIfOffline()
  setInterval(tick, 1000)
  // A browser may refuse it, in a private window or without HTTPS: then only the page cannot be opened offline.
  if (!isExtension) await navigator.serviceWorker?.register('/offline.js').catch(() => {})
}

/** Everything again, in the language of now. */
async function showEverything() {
  translate()
  language.value = currentLanguage()
  showWrite()
  showLoad()
  showReceive()
  await showHistory()
}

async function tick() {
  tickWait()
  tickLoad()
  tickReceive()
  await tickWrite()
  await tickHistory()
}

/** What is below it all: in the extension its keys, on the page the way without a browser. */
async function showFooter() {
  element('terminal').hidden = isExtension
  element('trust').hidden = isExtension
  // Not in the HTML, which is the extension's too: there is no such page there.
  element<HTMLAnchorElement>('privacy').href = '/privacy'
  const line = element('terminal').querySelector('code')
  if (line) line.textContent = `curl --data-binary @notes.txt ${location.origin}`
  if (!isExtension) return
  const shortcut = await shortcutOf()
  element('shortcut').hidden = !shortcut
  if (shortcut) say(element('shortcut'), 'shortcut', shortcut)
}

/** What the server has to tell of the address that brought a person here. */
const ARRIVALS = new Map<string, MessageKey>([
  ['share-lost', 'shareLost'],
  ['wrong-address', 'wrongAddress'],
])

/** A link brings a code, `/#aBcD` or, to write to who waits there, `/#>aBcD`. It loads and sends nothing by itself. */
function readAddress() {
  const [, sign, code = ''] = /^#(>|%3E)?(.*)$/i.exec(location.hash) ?? []
  const arrival = sign ? undefined : ARRIVALS.get(code)
  if (!arrival && !isCode(code)) return
  // Out of the address, where others would read it; the list of visited pages keeps it.
  window.history.replaceState(null, '', location.pathname)
  if (sign) {
    showTab('write')
    return addressTo(code)
  }
  if (!arrival) return offerCode(code)
  if (arrival === 'wrongAddress') showTab('load')
  complain(arrival)
}

/**
 * A phone's share menu brings a text, which the service worker keeps for the page. So does any site's form, which the
 * worker cannot tell from it: the person is asked first.
 */
function askForShared() {
  const worker = isExtension ? undefined : navigator.serviceWorker
  if (!worker) return
  worker.onmessage = ({ data }) => {
    element('shared-text').textContent = data.slice(0, PREVIEW)
    element('shared').hidden = false
    button('shared-take').onclick = () => {
      element('shared').hidden = true
      addText(data)
    }
  }
  button('shared-drop').onclick = () => {
    element('shared').hidden = true
  }
  worker.controller?.postMessage('shared')
}

function tellIfOffline() {
  if (!navigator.onLine) tellProblem(new Problem('offline'))
}

// A paste that is not aimed is a code, where it is one, else a text.
document.addEventListener('paste', (event) => {
  takePastedCode(event)
  if (!event.defaultPrevented) takePastedText(event)
})

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

language.onchange = async () => {
  const chosen = language.value as Language
  await kept.set('language', chosen)
  await speak(chosen)
  await showEverything()
}

start().catch(tellProblem)
