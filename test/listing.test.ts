/** What the two stores are given: every text and picture, as long and as large as they take them, and true. */
import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { LANGUAGES, type Language } from '../extension/languages.ts'
import { LISTINGS } from '../extension/listing.ts'
import { textsOf, writeListing } from './listing.ts'
import { CHROMIUM } from './support/chromium.ts'
import { FIREFOX } from './support/firefox.ts'
import { builtExtension } from './support/homes.ts'
import { root, temporaryPath } from './support/support.ts'

const languages = Object.keys(LANGUAGES) as Language[]

const manifests = await Promise.all(
  [CHROMIUM, FIREFOX].map(async (kind) => Bun.file(join(await builtExtension(kind), 'manifest.json')).json()),
)

/** Characters at most, by the stricter of the two stores. */
const LONGEST: Record<string, number> = {
  'name.txt': 50,
  'summary.txt': 132,
  'description.txt': 15_000,
  'single-purpose.txt': 1000,
  'data.txt': 5000,
}

test.each(languages)('in %s no text is missing, and none is longer than the stores take', (language) => {
  for (const [name, text] of Object.entries(textsOf(language))) {
    expect([name, text.trim() === text, text.length > 0]).toEqual([name, true, true])
    expect([name, text.length > (LONGEST[name] ?? 1000)]).toEqual([name, false])
  }
})

test.each(languages)('in %s each permission of both manifests has its reason, and no other has one', (language) => {
  const asked = new Set<string>(manifests.flatMap(({ permissions }) => permissions))
  const reasons = Object.keys(textsOf(language)).filter((name) => name.startsWith('permissions/'))
  expect(reasons.sort()).toEqual([...asked].sort().map((permission) => `permissions/${permission}.txt`))
})

test.each(languages)(
  'in %s what is told of data is what Firefox’s manifest declares, and where to read on',
  (language) => {
    const { data } = LISTINGS[language]
    for (const kind of manifests[1].browser_specific_settings.gecko.data_collection_permissions.required)
      expect(data).toContain(kind)
    expect(data).toContain('https://www.extextcloud.com/privacy')
  },
)

/** Width, height, and whether there is alpha, by the head of a PNG. */
async function headOf(path: string) {
  const png = Buffer.from(await Bun.file(path).bytes())
  expect(png.toString('latin1', 1, 4)).toBe('PNG')
  return [png.readUInt32BE(16), png.readUInt32BE(20), png[25] === 6]
}

test.skipIf(CHROMIUM.isSkipped)(
  'the pictures have the sizes that the stores ask for, and only the icon is clear',
  async () => {
    const out = temporaryPath('store')
    await writeListing(out, ['en'])
    expect(readdirSync(out).sort()).toEqual(['en', 'icon-128x128.png', 'marquee-1400x560.png', 'tile-440x280.png'])
    expect(await headOf(join(out, 'icon-128x128.png'))).toEqual([128, 128, true])
    expect(await headOf(join(out, 'tile-440x280.png'))).toEqual([440, 280, false])
    expect(await headOf(join(out, 'marquee-1400x560.png'))).toEqual([1400, 560, false])
    const pictures = readdirSync(join(out, 'en')).filter((name) => name.endsWith('.png'))
    expect(pictures).toHaveLength(5)
    for (const name of pictures) expect(await headOf(join(out, 'en', name))).toEqual([1280, 800, false])
    for (const [name, text] of Object.entries(textsOf('en')))
      expect(await Bun.file(join(out, 'en', name)).text()).toBe(`${text}\n`)
  },
)

test('who publishes is told of every file there is to upload or to paste, and of no other', async () => {
  const page = await Bun.file(join(root, 'PUBLISHING.md')).text()
  const named = new Set(page.match(/(?<=`)[\w-]+\.(?:txt|png|zip)(?=`)/g))
  const texts = Object.keys(textsOf('en')).filter((name) => !name.includes('/'))
  for (const name of [
    ...texts,
    'icon-128x128.png',
    'tile-440x280.png',
    'marquee-1400x560.png',
    'chromium.zip',
    'firefox.zip',
  ])
    expect([name, named.delete(name)]).toEqual([name, true])
  expect([...named]).toEqual(['source.zip'])
  expect(page).toContain('`permissions/`')
})
