/** The two tabs, Write and Load. */
import { draft } from './api.ts'
import { element } from './elements.ts'
import { openPanel } from './status.ts'

/** What has the focus when a tab opens: the first of these that is on show. */
const FOCUS = ['copy-code', 'write-text', 'copy-text', 'load-code']

export function showTab(shown: 'write' | 'load') {
  for (const tab of ['write', 'load'] as const) {
    element(`${tab}-panel`).hidden = tab !== shown
    element(`${tab}-tab`).setAttribute('aria-selected', String(tab === shown))
    element(`${tab}-tab`).tabIndex = tab === shown ? 0 : -1
  }
  openPanel(`${shown}-panel`)
  void draft.set('tab', shown)
  focusTab()
}

export function focusTab() {
  FOCUS.map((id) => element(id))
    .find(({ offsetParent }) => offsetParent !== null)
    ?.focus()
}

for (const [tab, other] of [
  ['write', 'load'],
  ['load', 'write'],
] as const) {
  element(`${tab}-tab`).onclick = () => showTab(tab)
  element(`${tab}-tab`).onkeydown = (event) => {
    const keys: Record<string, 'write' | 'load'> = { ArrowLeft: other, ArrowRight: other, Home: 'write', End: 'load' }
    const next = keys[event.key]
    if (!next) return
    // Home and End would also scroll.
    event.preventDefault()
    showTab(next)
    element(`${next}-tab`).focus()
  }
}
