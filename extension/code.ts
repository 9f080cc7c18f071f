/** The four letters: read from whatever was typed or pasted, and shown so that nobody mistakes one for another. */
import { message } from './messages.ts'

/** What is typed or pasted, in the plain letters that it means: wide ones, say, and without invisible ones between them. */
export const plain = (text: string) => text.normalize('NFKC').replace(/\p{Cf}/gu, '')

/** The code that a text names: in a link, spelled, as its only word of four letters, or letter by letter. Anything less clear is none. */
export function readCode(original: string): string | undefined {
  const text = plain(original)
  const linked =
    /#(?:>|%3E)?([A-Za-z]{4})(?=[^\w/]*(\s|$))/.exec(text) ?? /[.:]\S*\/([A-Za-z]{4})(?=[^\w/]*(\s|$))/.exec(text)
  if (linked) return linked[1]
  const spelled = SPELLED.exec(text)
  if (spelled) return spelled.slice(1).join('')
  // “Your code:” names what follows it.
  const words = text.replace(/(\p{L}+\s+)*\p{L}+\s*:/gu, ' ').split(/\s+/)
  const [code, another] = new Set(words.map((word) => word.replace(/^[^A-Za-z\d]+|[^A-Za-z\d]+$/g, '')).filter(isCode))
  if (code) return another ? undefined : code
  const letters = text.replace(/\s/g, '')
  return isCode(letters) ? letters : undefined
}

/** As `spell` writes it, in any language. */
const SPELLED = new RegExp(Array(4).fill('(?<![A-Za-z])([A-Za-z])(?![A-Za-z])').join('\\s*·\\s*(?:\\p{L}+\\s+)?'), 'u')

/** Perhaps a keyboard is set to Korean, or a small l is taken for a 1. */
export const FOREIGN = /(?![A-Za-z])[\p{L}\d]/u

export const isCode = (code: string) => /^[A-Za-z]{4}$/.test(code)

const isCapital = (letter: string) => letter === letter.toUpperCase()

const wordsFor = (code: string) => [...code].map((letter) => message(isCapital(letter) ? 'capital' : 'small', letter))

/** As one reads it aloud: “small a · BIG B · …”. */
export const spell = (code: string) => wordsFor(code).join(' · ')

/** Fills `element` with the same, each word in the column of its letter's tile; the dots are heard and copied, not seen. */
export function showSpelling(element: HTMLElement, code: string) {
  element.translate = false
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

/** Fills `element` with a tile for each letter; capitals and small letters differ in colour and in shape. What `isNew` lands. */
export function showCode(element: HTMLElement, code: string, isNew = false) {
  // Whoever has the page translated must not get another code.
  element.translate = false
  for (const [place, letter] of [...code].entries()) {
    const before = element.children[place]
    if (before?.textContent === letter) continue
    const tile = document.createElement('span')
    const kind = letter === ' ' ? 'empty' : isCapital(letter) ? 'capital' : 'small'
    tile.className = `letter ${kind}${isNew && kind !== 'empty' ? ' landing' : ''}`
    tile.textContent = letter
    if (before) before.replaceWith(tile)
    else element.append(tile)
  }
}
