/** Suggests a password that can be said aloud: a speaker of Korean, English, Japanese or Chinese hears the letters that were meant. */

/** No sounds that one of the four mixes up or lacks: l and r, b and p, f and h, si and shi, tu and tsu, yu and wi, and e. */
export const SYLLABLES = 'ka ki ku ko ma mi mu mo na ni nu no pa pi pu po sa su so ta to ha hi ho ya yo wa'.split(' ')

/** Each of 27 syllables says 4.75 bits: 38 in all. */
const LENGTH = 8

/** What has the form of a suggestion. */
export const SUGGESTED = new RegExp(`^(?:${SYLLABLES.join('|')}){${LENGTH}}$`)

export function suggestPassword(): string {
  const password: string[] = []
  while (password.length < LENGTH) {
    const [byte = 0] = crypto.getRandomValues(new Uint8Array(1))
    // The bytes beyond the last whole round would favour the first syllables.
    if (byte < 256 - (256 % SYLLABLES.length)) password.push(SYLLABLES[byte % SYLLABLES.length] ?? '')
  }
  return password.join('')
}
