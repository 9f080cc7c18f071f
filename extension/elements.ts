/** The elements of popup.html, by their ids. */
export const element = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E
export const button = (id: string) => element<HTMLButtonElement>(id)
export const input = (id: string) => element<HTMLInputElement>(id)
export const textArea = (id: string) => element<HTMLTextAreaElement>(id)

/** Whether what is pasted or typed there is the field's own. */
export const isField = (target: EventTarget | null) =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement

/** Pixels of a result that have to be in view. */
const ENOUGH = 240

/** Brings `result` into view, unless it is, and the focus to its first button. */
export function reveal(result: HTMLElement, first: HTMLElement) {
  first.focus({ preventScroll: true })
  const { top, bottom } = result.getBoundingClientRect()
  if (top < 0 || Math.min(bottom, top + ENOUGH) > innerHeight) result.scrollIntoView({ block: 'start' })
}

/** Characters beyond which Chromium takes seconds to insert a text by its own means, or to find each paragraph's direction. */
export const LONG_TEXT = 50_000
