/**
 * `bun run screenshots`: the pictures that README shows, of the real page and the real popup, driven in Chromium.
 * `bun run screenshots FOLDER [WORD …]`: every picture that there is, or those whose name has all the words.
 *
 * A name is `SIZE-STATE-LANGUAGE-SCHEME`, such as `popup-written-ko-light`. Every run shows the same codes and times.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { openStage, type Picture, SIZES, STATES } from './support/stage.ts'

const root = join(import.meta.dir, '..')

const LANGUAGES = readdirSync(join(root, 'extension/_locales')).map((name) => name.replace('_', '-'))
const SCHEMES = ['light', 'dark']

const nameOf = (picture: Picture) => `${picture.join('-')}.png`

const pictures = (Object.keys(SIZES) as Picture[0][]).flatMap((size) =>
  Object.keys(STATES).flatMap((state) =>
    LANGUAGES.flatMap((language) => SCHEMES.map((scheme): Picture => [size, state, language, scheme])),
  ),
)

const [folder, ...words] = process.argv.slice(2)
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const out = folder ?? join(root, 'extension/screenshots')
const chosen = pictures.filter((picture) =>
  folder === undefined ? readme.includes(`/${nameOf(picture)}`) : words.every((word) => picture.includes(word)),
)

await using stage = await openStage()
for (const picture of chosen) {
  const path = join(out, nameOf(picture))
  await Bun.write(path, await stage.take(picture))
  console.log(relative('.', path))
}
