/** The elements of popup.html, by their ids. */
export const element = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E
export const button = (id: string) => element<HTMLButtonElement>(id)
export const input = (id: string) => element<HTMLInputElement>(id)
export const textArea = (id: string) => element<HTMLTextAreaElement>(id)

/** Brings `result` into view, however small the screen, and the focus to its first button. */
export function reveal(result: HTMLElement, first: HTMLElement) {
  first.focus({ preventScroll: true })
  result.scrollIntoView({ block: 'start' })
}

/** Characters beyond which Chromium takes seconds to insert a text by its own means, or to find each paragraph's direction. */
export const LONG_TEXT = 50_000
