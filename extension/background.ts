/** The extension while its popup is closed: what the popup asked for, and the two entries of the context menu. */
import {
  DEFAULT_EXPIRY,
  draft,
  type Field,
  forgetPrivate,
  history,
  kept,
  type Loaded,
  loadHere,
  now,
  type Outcome,
  Problem,
  privateMemories,
  type Waiting,
  type Wish,
  writeHere,
} from './api.ts'
import { copy } from './clipboard.ts'
import { spell } from './code.ts'
import { putInto, rememberField } from './field.ts'
import { duration, message, problemKey, speak } from './messages.ts'
import { readSelection } from './selection.ts'
import { type Arrival, receiveHere } from './waiting.ts'

/** Which of the two builds this is: `bun run build` writes it here. */
declare const BROWSER: 'chromium' | 'firefox'

const SEND = 'send-selection'
const LOAD = 'load-into-field'
const RECEIVE = 'receive-into-field'

/** Milliseconds between two signs of life. */
const AWAKE = 20_000

/** Milliseconds: where no server answers, a text whose time seems to be up stays. */
const SHORTEST_TIMER = 1000

/** Milliseconds: browsers take more for none at all. */
const LONGEST_TIMER = 2 ** 31 - 1

chrome.runtime.onInstalled.addListener(renewMenu)
chrome.storage.onChanged.addListener(({ language }) => language && renewMenu())

void refreshBadge()
chrome.storage.onChanged.addListener(({ history }) => history && refreshBadge())

/** Takes a code whose text is gone off the badge: at once while this is awake, else when it is next. */
async function refreshBadge() {
  const code = await chrome.action.getBadgeText({})
  if (!code) return
  const lent = (await history()).find((lent) => lent.code === code)
  if (lent) setTimeout(refreshBadge, Math.max(SHORTEST_TIMER, Math.min(lent.expiresAt - now(), LONGEST_TIMER)))
  else await chrome.action.setBadgeText({ text: '' })
}

let lastMenu: Promise<unknown> = Promise.resolve()

/** One after another: two at once would both create the same entries. */
function renewMenu() {
  lastMenu = lastMenu.then(createMenu)
}

async function showBadge(code: string) {
  await chrome.action.setBadgeBackgroundColor({ color: '#4338ca' })
  await chrome.action.setBadgeText({ text: code })
  void refreshBadge()
}

// Firefox for Android has tabs alone, and no context menu.
const places = chrome.windows ?? chrome.tabs
places.onRemoved.addListener(async (gone) => {
  const stay = (await chrome.tabs.query({})).filter(({ id, windowId }) => gone !== (chrome.windows ? windowId : id))
  if (!stay.some(({ incognito }) => incognito)) await forgetPrivate()
})

async function createMenu() {
  if (!chrome.contextMenus) return
  await speak(await kept.get('language'))
  await chrome.contextMenus.removeAll()
  chrome.contextMenus.create({ id: SEND, contexts: ['selection'], title: message('sendSelection') })
  chrome.contextMenus.create({ id: LOAD, contexts: ['editable'], title: message('loadIntoField') })
  chrome.contextMenus.create({ id: RECEIVE, contexts: ['editable'], title: message('receiveIntoField') })
}

chrome.contextMenus?.onClicked.addListener(({ menuItemId, selectionText = '', frameId = 0 }, tab) => {
  const field = { tabId: tab?.id ?? -1, frameId, askedAt: Date.now() }
  if (menuItemId === SEND) void awake(() => sendSelection(field, selectionText, tab?.incognito))
  if (menuItemId === LOAD) askForCode(field)
  if (menuItemId === RECEIVE) askForCode({ ...field, isReceiving: true })
})

chrome.runtime.onMessage.addListener((wish: Wish, _sender, answer: (outcome: Outcome | boolean) => void) => {
  if ('wait' in wish) {
    void wait().then(answer)
    return true
  }
  void awake(() => fulfil(wish)).then(answer)
  return true
})

/** Does `work`, however long it takes: browsers end a background that does nothing of theirs for half a minute. */
async function awake<Result>(work: () => Promise<Result>): Promise<Result> {
  const signs = setInterval(() => chrome.runtime.getPlatformInfo(), AWAKE)
  try {
    return await work()
  } finally {
    clearInterval(signs)
  }
}

/** Does what the popup wishes, and leaves the result where a popup that is opened again finds it. */
async function fulfil(wish: Exclude<Wish, { wait: true }>): Promise<Outcome> {
  try {
    if ('write' in wish) {
      const lent = await writeHere(wish.write)
      if ((await draft.get('text')) === wish.write.text) await draft.set('text', undefined)
      if (wish.write.to) await draft.set('to', undefined)
      await Promise.all([draft.set('written', lent), draft.set('once', undefined)])
      return { done: lent }
    }
    if ('send' in wish) {
      const { tabId, isPrivate } = wish.send
      const { lent } = await writeSelection({ tabId, frameId: 0, askedAt: Date.now() }, '', isPrivate)
      return { done: lent }
    }
    const loaded = await loadHere(wish.load)
    await draft.set('loaded', loaded)
    return { done: loaded }
  } catch (thrown) {
    const { reason, details } = Problem.of(thrown)
    return { problem: { reason, details } }
  }
}

/** The waiting that is under way. */
let awaited: { receiveToken: string; stop: AbortController } | undefined

chrome.storage.session.onChanged.addListener(({ waiting }) => {
  const next = waiting?.newValue as Waiting | undefined
  if (waiting && next?.receiveToken !== awaited?.receiveToken) awaited?.stop.abort()
})

/** Waits for the text for which a popup waits, though that closes; returns whether there is anything to wait for. */
async function wait(): Promise<boolean> {
  const waiting = await draft.get('waiting')
  if (waiting && waiting.receiveToken !== awaited?.receiveToken) {
    awaited = { receiveToken: waiting.receiveToken, stop: new AbortController() }
    const { signal } = awaited.stop
    void awake(() => receive(waiting, signal))
  }
  return waiting !== undefined
}

/** Tells what came to the popup, or, where that is closed, by a notification, and puts it into the field that was asked for. */
async function receive(waiting: Waiting, signal: AbortSignal) {
  const outcome = await receiveHere(waiting, signal)
    .then((loaded) => loaded && { done: loaded })
    .catch((thrown): Outcome => {
      const { reason, details } = Problem.of(thrown)
      return { problem: { reason, details } }
    })
  const arrival: Arrival = { received: waiting.code, outcome }
  if (await chrome.runtime.sendMessage(arrival).catch(() => false)) return
  const field = await draft.get('field')
  if (field?.isReceiving) await draft.set('field', undefined)
  if (!outcome) return
  await speak(await kept.get('language'))
  if ('problem' in outcome) return notify(message('receivedTitle'), message(problemKey(outcome.problem.reason)))
  const filled = field?.isReceiving ? await putInto(field, (outcome.done as Loaded).text) : 'receivedOpen'
  const told = [message(filled), (outcome.done as Loaded).received === 'plain' && message('receivePlain')]
  await notify(message('receivedTitle'), told.filter(Boolean).join('\n'))
}

/** Writes what is selected; tells the code by a notification, on the clipboard and, unless the window is private, on the badge. */
async function sendSelection(place: Field, inMenu: string, isPrivate = false) {
  await speak(await kept.get('language'))
  try {
    const { lent, lack } = await writeSelection(place, inMenu, isPrivate)
    const isCopied = await copyFromBackground(lent.code)
    if (!isPrivate) await showBadge(lent.code)
    const told = [
      message(isCopied ? 'sentMessage' : 'sentUncopied', spell(lent.code), duration(lent.expiresAt - now())),
      lack && message(lack),
    ]
    await notify(message('sentTitle', lent.code), told.filter(Boolean).join('\n'))
  } catch (thrown) {
    const { reason, details } = Problem.of(thrown)
    const wait = details.retryAfter ? ` ${message('wait', duration(details.retryAfter * 1000))}` : ''
    await notify(message('sendFailedTitle'), message(problemKey(reason, details.field)) + wait)
  }
}

async function writeSelection(place: Field, inMenu: string, isPrivate: boolean) {
  const memories = isPrivate ? privateMemories() : { kept, draft }
  const { text, lack } = await readSelection(place, inMenu)
  const expiresIn = (await kept.get('expiresIn')) ?? DEFAULT_EXPIRY
  const lent = await writeHere({ text, expiresIn, once: false }, memories.kept)
  await Promise.all([memories.draft.set('written', lent), draft.set('tab', 'write'), draft.set('lack', lack)])
  return { lent, lack }
}

/** Firefox's background has a document to copy from; Chromium's borrows one for the moment. */
const copyFromBackground = BROWSER === 'firefox' ? copy : copyOffscreen

let lastCopy: Promise<unknown> = Promise.resolve()

/** One after another: Chromium has room for one such document. */
function copyOffscreen(text: string): Promise<boolean> {
  const copying = lastCopy.then(async () => {
    try {
      await chrome.offscreen.createDocument({
        url: 'offscreen.html',
        reasons: [chrome.offscreen.Reason.CLIPBOARD],
        justification: 'Copies the code of the text that was sent.',
      })
      return (await chrome.runtime.sendMessage({ copy: text })) === true
    } catch {
      // The code is still told, and on the badge.
      return false
    } finally {
      await chrome.offscreen.closeDocument().catch(() => {})
    }
  })
  lastCopy = copying
  return copying
}

const notify = (title: string, text: string) =>
  chrome.notifications.create({
    type: 'basic',
    iconUrl: chrome.runtime.getURL('icons/128.png'),
    title,
    message: text,
  })

/** Opens the popup, which puts the text that it loads into the field. Nothing is awaited before: Firefox opens a popup only at once. */
function askForCode(field: Field) {
  void draft.set('field', field)
  rememberField(field).catch(() => draft.set('field', { ...field, isClosed: true }))
  void draft.set('code', undefined)
  // A text that was read once exists nowhere else any more.
  void draft.get('loaded').then((loaded) => (loaded?.once ? undefined : draft.set('loaded', undefined)))
  void draft.set('tab', 'load')
  chrome.action
    .openPopup()
    .catch(() => chrome.windows.create({ url: 'popup.html', type: 'popup', width: 400, height: 640 }))
}
