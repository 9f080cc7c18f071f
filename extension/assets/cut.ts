/** Cuts the face of codes out of the whole typeface: `bun run letters`, when another version of it is wanted. */
import { join } from 'node:path'
import { version } from '@fontsource/atkinson-hyperlegible-mono/package.json'
import subsetFont from 'subset-font'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

const whole = Bun.resolveSync(
  '@fontsource/atkinson-hyperlegible-mono/files/atkinson-hyperlegible-mono-latin-700-normal.woff2',
  import.meta.dir,
)
const font = Buffer.from(await Bun.file(whole).arrayBuffer())
// Browsers keep it for good, so its name changes with it.
await Bun.write(
  join(import.meta.dir, `letters-${version}.woff2`),
  await subsetFont(font, LETTERS, { targetFormat: 'woff2' }),
)
