/** Write and Load: beside each other where there is room, else behind tabs. On a first visit Load stands above Write. */
import { draft, isPopup } from './api.ts'
import { element } from './elements.ts'
import { openPanel } from './status.ts'

type Side = 'write' | 'load'

const SIDES = ['write', 'load'] as const
const OTHER = { write: 'load', load: 'write' } as const

/** What has the focus when a side is turned to: the first of these that is on show. */
const FOCUS = { write: ['copy-code', 'write-text'], load: ['copy-text', 'load-code'] }

/** The style sheet knows the same width. */
const wide = matchMedia('(min-width: 60rem)')

/** The side that the person has turned to. */
let turnedTo: Side = 'write'
let isFirstVisit = false

const isBeside = () => !isPopup && wide.matches

/** Turns to a side: where there are tabs, to its own alone. */
export function showTab(side: Side) {
  isFirstVisit = false
  turnTo(side)
  focusTab()
}

/** Shows both sides, and the focus is nowhere: a pasted text finds the box, and letters that are typed find their tiles. */
export function greet(isStranger: boolean) {
  if (!isStranger && !isBeside()) return showTab('write')
  isFirstVisit = isStranger
  turnTo('write')
}

export function focusTab() {
  FOCUS[turnedTo]
    .map((id) => element(id))
    .find(({ offsetParent }) => offsetParent !== null)
    ?.focus()
}

function turnTo(side: Side) {
  turnedTo = side
  arrange()
  openPanel(`${side}-panel`)
  void draft.set('tab', isFirstVisit ? undefined : side)
}

function arrange() {
  const hasTabs = !isBeside()
  document.documentElement.dataset.tab = turnedTo
  document.documentElement.dataset.layout = isBeside() ? 'beside' : isFirstVisit ? 'first' : 'tabs'
  setRole(element('tabs'), 'tablist', hasTabs)
  for (const side of SIDES) {
    const [tab, panel] = [element(`${side}-tab`), element(`${side}-panel`)]
    panel.hidden = hasTabs && !isFirstVisit && side !== turnedTo
    setRole(panel, 'tabpanel', hasTabs)
    setRole(tab, 'tab', hasTabs)
    tab.tabIndex = hasTabs && side !== turnedTo ? -1 : 0
    if (hasTabs) tab.setAttribute('aria-selected', String(side === turnedTo))
    else tab.removeAttribute('aria-selected')
  }
}

function setRole(element: HTMLElement, role: string, isRole: boolean) {
  if (isRole) element.setAttribute('role', role)
  else element.removeAttribute('role')
}

wide.onchange = arrange

// Whoever goes to the other side by pointer or key has turned to it, and its message is the one to read.
element('tabs').parentElement?.addEventListener('focusin', ({ target }) => {
  const side = SIDES.find((side) => element(`${side}-panel`).contains(target as Node))
  if (!side || side === turnedTo) return
  turnedTo = side
  arrange()
  openPanel(`${side}-panel`)
})

for (const side of SIDES) {
  element(`${side}-tab`).onclick = () => showTab(side)
  element(`${side}-tab`).onkeydown = (event) => {
    const keys: Record<string, Side> = {
      ...{ ArrowLeft: OTHER[side], ArrowRight: OTHER[side] },
      ...{ Home: 'write', End: 'load' },
    }
    const next = keys[event.key]
    if (!next) return
    // Home and End would also scroll.
    event.preventDefault()
    showTab(next)
    element(`${next}-tab`).focus()
  }
}

document.addEventListener('keydown', (event) => {
  const { key, code, altKey, shiftKey, isComposing, defaultPrevented, target } = event
  const isShortcut = altKey && shiftKey && code === 'KeyL'
  // In a popup Escape closes it; in a choice it closes that.
  const isEscape = key === 'Escape' && !isPopup && !(target instanceof HTMLSelectElement)
  if (isComposing || defaultPrevented || !(isShortcut || isEscape)) return
  event.preventDefault()
  showTab(OTHER[turnedTo])
})
