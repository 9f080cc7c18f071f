/** The extension's options: another server, how long texts are kept, the language. Each is saved when it is chosen. */
import { builtFor, DEFAULT_EXPIRY, isServer, keepWriteKey, kept, shortcutOf, writeKeyOf } from './api.ts'
import { button, element, input } from './elements.ts'
import { isExposed } from './exposed.ts'
import type { Language } from './languages.ts'
import { offerLanguages, say, speak, translate } from './messages.ts'
import { busy, complain, tell } from './status.ts'

const server = input('server')
const writeKey = input('server-write-key')
const defaultExpiry = element<HTMLSelectElement>('default-expiry')
const language = element<HTMLSelectElement>('language-choice')

async function start() {
  const chosen = await kept.get('language')
  server.value = (await kept.get('server')) ?? ''
  server.placeholder = builtFor()
  await showServer()
  defaultExpiry.value = String((await kept.get('expiresIn')) ?? DEFAULT_EXPIRY)
  offerLanguages(language)
  language.value = chosen ?? ''
  say(element('server-hint'), 'serverHint', builtFor())
  const shortcut = await shortcutOf()
  element('keys').hidden = shortcut === undefined
  if (shortcut) say(element('shortcut'), 'shortcut', shortcut)
  await speak(chosen)
  translate()
  document.documentElement.dataset.ready = ''
}

/** What there is to tell of the server that is typed. The key of one is never shown, nor kept, for another. */
async function showServer() {
  const origin = typedServer() || builtFor()
  element('server-exposed').hidden = !isExposed(origin)
  writeKey.value = (await writeKeyOf(origin)) ?? ''
}

server.oninput = showServer

/** The origin that was typed, or nothing for the usual one; null if it is no web address. Close by, few servers have HTTPS. */
function typedServer(): string | undefined | null {
  const typed = server.value.trim()
  if (typed === '') return undefined
  try {
    const scheme = /^(localhost|[\d.]+|\[.*\])(:\d+)?(\/|$)/.test(typed) ? 'http' : 'https'
    const { protocol, origin } = new URL(/^[a-z]+:\/\//i.test(typed) ? typed : `${scheme}://${typed}`)
    return /^https?:$/.test(protocol) ? origin : null
  } catch {
    return null
  }
}

const saveServer = () =>
  busy(button('done'), 'checking', async () => {
    const origin = typedServer()
    const isNew = origin !== (await kept.get('server'))
    const isWrong = origin === null || (origin !== undefined && isNew && !(await isServer(origin)))
    server.setAttribute('aria-invalid', String(isWrong))
    if (isWrong) {
      complain(origin === null ? 'serverInvalid' : 'serverNotFound', origin ?? '')
      return server.focus()
    }
    server.value = origin ?? ''
    await kept.set('server', origin)
    tell('saved')
  })

server.onchange = saveServer
writeKey.onchange = async () => {
  const origin = typedServer()
  if (origin === null) return
  await keepWriteKey(origin ?? builtFor(), writeKey.value.trim())
  tell('saved')
}
element<HTMLFormElement>('options-form').onsubmit = (event) => {
  event.preventDefault()
  void saveServer()
}

defaultExpiry.onchange = async () => {
  await kept.set('expiresIn', Number(defaultExpiry.value))
  tell('saved')
}

language.onchange = async () => {
  const chosen = (language.value || undefined) as Language | undefined
  await kept.set('language', chosen)
  await speak(chosen)
  translate()
  tell('saved')
}

button('done').onclick = async () => {
  const tab = await chrome.tabs.getCurrent()
  if (tab?.id !== undefined) await chrome.tabs.remove(tab.id)
}

void start()
