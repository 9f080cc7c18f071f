/** What a text looks like: whether its columns want letters of one width, and whether it leads somewhere. */

/** Lines that have to speak for it: a single one may be chance. */
const ENOUGH = 2

/** Whether it has tabs, columns that spaces align, or the look of a program or its output. */
export function wantsMonospace(text: string): boolean {
  // The beginning tells, and a long text takes long.
  const lines = text.slice(0, 10_000).split('\n')
  const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length
  return [/\t/, /[^\s.!?] {2,}\S/, /^ {2,}\S/, /[;{}]\s*$|^\s*(#!|\/\/|\$ |<\/?\w)/].some(
    (sign) => count(sign) >= ENOUGH,
  )
}

/** The address that a text leads to: its last line, if that is the only one, and if it shows plainly where it leads. */
export function linkIn(text: string): URL | undefined {
  const [address, another] = text.match(/\bhttps?:\/\/\S+/gi) ?? []
  const lastLine = text
    .trim()
    .split(/\s*\n\s*/)
    .at(-1)
  if (!address || another || address !== lastLine || !URL.canParse(address)) return
  const url = new URL(address)
  // Before an @ stands a name for a log-in, which may look like the host.
  return url.username || url.password ? undefined : url
}

/** The host in plain letters, where it is written in others, which may look like plain ones. */
export const spelledHost = ({ host }: URL): string | undefined => (/(^|\.)xn--/.test(host) ? host : undefined)
