/** JSON that is large in each way that parsing it, or checking what was parsed, could cost more than its size. */

const repeat = (part: string, size: number) => part.repeat(Math.floor(size / part.length))
const numbered = (part: (at: number) => string, size: number) => {
  const parts: string[] = []
  for (let at = 0, length = 0; length < size; at++) {
    const next = part(at)
    parts.push(next)
    length += next.length + 1
  }
  return parts.join(',')
}

/** By name: what makes one of about `size` bytes. */
export const SHAPES: Record<string, (size: number) => string> = {
  'many fields': (size) => `{${numbered((at) => `"k${at}":1`, size)}}`,
  'sparse numbers as fields': (size) => `{${numbered((at) => `"${at * 4_000_037}":1`, size)}}`,
  'one field again and again': (size) => `{${numbered(() => '"text":"a"', size)}}`,
  'empty objects': (size) => `{"a":[${numbered(() => '{}', size)}]}`,
  'arrays in arrays': (size) => '['.repeat(size),
  'objects in objects': (size) => repeat('{"a":', size),
  'a number of a million digits': () => `{"code":${'9'.repeat(1e6)}}`,
  'a text of escapes': (size) => `{"text":"${repeat('\\u0000', size)}"}`,
  'a text of quotes': (size) => `{"text":"${repeat('\\"', size)}"}`,
  'a text of backslashes': (size) => `{"text":"${repeat('\\\\', size)}"}`,
  'a name of escapes': (size) => `{"${repeat('\\u0061', size)}":1}`,
  'half a surrogate at the end': (size) => `{"text":"${'a'.repeat(size - 30)}\\ud800"}`,
  'a string without an end': (size) => `{"text":"${repeat('\\"', size)}`,
  blanks: (size) => `{${' '.repeat(size - 20)}"text":1}`,
  'a code of blanks': (size) => `{"code":"${' '.repeat(size - 20)}"}`,
}
