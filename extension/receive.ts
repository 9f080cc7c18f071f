/** Receive: four letters first, and then the text that somebody else writes to them. */
import { copyOnPress } from './actions.ts'
import { draft, hpke, linkTo, now, type Waiting } from './api.ts'
import { showCode, showSpelling, spell } from './code.ts'
import { button, element, reveal } from './elements.ts'
import { forgetOldKeys, keysOf } from './key-store.ts'
import { forgetField, putAway, showReceived } from './load.ts'
import { duration, message, say } from './messages.ts'
import { qrCode } from './qr.ts'
import { busy, complain, tell, tellProblem } from './status.ts'
import { showTab } from './tabs.ts'
import { receive, stopWaiting, takeCode } from './waiting.ts'
import { showLink, withWriteKey } from './write.ts'

/** The code on show. */
let waiting: Waiting | undefined
let stop = new AbortController()

/** Goes on where the popup was closed or the page left; and begins where the context menu asked for it. */
export async function restoreReceive() {
  const before = await draft.get('waiting')
  if (!before) {
    void forgetOldKeys()
    if ((await draft.get('field'))?.isReceiving) await start()
  } else if (before.publicKey && !(await keysOf(before))) {
    complain('error_seal_received')
    await stopWaiting(before)
  } else {
    void waitFor(before)
  }
}

async function start() {
  await withWriteKey(button('receive-start'), (writeKey) =>
    busy(button('receive-start'), 'receiveStarting', async () => {
      const taken = await takeCode(writeKey)
      putAway()
      showTab('load')
      void waitFor(taken, true)
    }),
  )
}

async function waitFor(next: Waiting, isNew = false) {
  stop.abort()
  stop = new AbortController()
  const { signal } = stop
  waiting = next
  showReceive(isNew)
  // Offline, perhaps: then there is nobody to compare words with.
  showSeal(next).catch(() => {})
  if (isNew) {
    tell('receiveHow')
    reveal(element('receiving'), button('receive-copy'))
  }
  try {
    const text = await receive(next, signal)
    if (signal.aborted) return
    end()
    if (text) await showReceived(text)
    else complain('receiveOver')
  } catch (problem) {
    end()
    tellProblem(problem)
  }
}

/** Puts the code away; whoever was there goes on where another is to be had. */
function end() {
  const isHere = element('receiving').contains(document.activeElement)
  waiting = undefined
  showReceive()
  if (isHere) button('receive-start').focus()
}

/** Everything that has words in it. */
export function showReceive(isNew = false) {
  for (const id of ['load-form', 'receive-form']) element(id).hidden = waiting !== undefined
  element('receiving').hidden = waiting === undefined
  if (!waiting) return
  showCode(element('receive-code'), waiting.code, isNew)
  element('receive-code').setAttribute('aria-label', spell(waiting.code))
  // It gets the focus, and so a screen reader says the code.
  button('receive-copy').setAttribute('aria-describedby', 'receive-code')
  showSpelling(element('receive-spelling'), waiting.code)
  showLink(element<HTMLAnchorElement>('receive-link'), linkTo(waiting))
  element('receive-qr').replaceChildren(qrCode(linkTo(waiting)))
  tickReceive()
}

/** Never the words of another key, not for a moment. */
async function showSeal(shown: Waiting) {
  element('receive-seal').hidden = true
  const { publicKey, code } = shown
  const words = publicKey && (await (await hpke()).wordsOf(publicKey, code))
  if (shown !== waiting) return
  say(element('receive-seal').children[0] as HTMLElement, words ? 'receiveSealed' : 'receivePlain')
  element('receive-words').textContent = words ?? ''
  element('receive-seal').hidden = false
}

/** To be called every second. */
export function tickReceive() {
  if (waiting) element('receive-left').textContent = message('receiveLeft', duration(waiting.expiresAt - now()))
}

element('receive-form').onsubmit = (event) => {
  event.preventDefault()
  void start()
}

button('receive-cancel').onclick = async () => {
  const cancelled = waiting
  if (!cancelled) return
  stop.abort()
  end()
  tell('receiveCancelled')
  if ((await draft.get('field'))?.isReceiving) await forgetField()
  await stopWaiting(cancelled)
}

// What finds links in messages would end this one at its >.
copyOnPress(button('receive-copy'), () => waiting && new URL(linkTo(waiting)).href, 'copiedLink')
