/** The four letters: read from whatever was typed or pasted, and shown so that nobody mistakes one for another. */
import { message } from './messages.ts'

/** The code that a text names: in a link, as its only word of four letters, or letter by letter. Anything less clear is none. */
export function readCode(text: string): string | undefined {
  const linked = /#([A-Za-z]{4})(?=[^\w/]*(\s|$))/.exec(text) ?? /[.:]\S*\/([A-Za-z]{4})(?=[^\w/]*(\s|$))/.exec(text)
  if (linked) return linked[1]
  // “code:” names what follows it.
  const words = text.replace(/\p{L}+\s*:/gu, ' ').split(/\s+/)
  const [code, another] = new Set(words.map((word) => word.replace(/^[^A-Za-z\d]+|[^A-Za-z\d]+$/g, '')).filter(isCode))
  if (code) return another ? undefined : code
  const letters = text.replace(/\s/g, '')
  return isCode(letters) ? letters : undefined
}

export const isCode = (code: string) => /^[A-Za-z]{4}$/.test(code)

const isCapital = (letter: string) => letter === letter.toUpperCase()

const wordsFor = (code: string) => [...code].map((letter) => message(isCapital(letter) ? 'capital' : 'small', letter))

/** As one reads it aloud: “small a · BIG B · …”. */
export const spell = (code: string) => wordsFor(code).join(' · ')

/** Fills `element` with the same, each word in the column of its letter's tile; the dots are heard and copied, not seen. */
export function showSpelling(element: HTMLElement, code: string) {
  element.replaceChildren(
    ...wordsFor(code).flatMap((word, place) => {
      const [dot, caption] = [document.createElement('span'), document.createElement('span')]
      dot.className = 'dot'
      dot.textContent = ' · '
      caption.className = 'caption'
      caption.textContent = word
      return place > 0 ? [dot, caption] : [caption]
    }),
  )
}

/** Fills `element` with a tile for each letter; capitals and small letters differ in colour and in shape. */
export function showCode(element: HTMLElement, code: string) {
  element.replaceChildren(
    ...[...code].map((letter) => {
      const tile = document.createElement('span')
      tile.className = letter === ' ' ? 'letter empty' : isCapital(letter) ? 'letter capital' : 'letter'
      tile.textContent = letter
      return tile
    }),
  )
}
