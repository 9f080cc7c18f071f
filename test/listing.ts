/**
 * `bun run store`: writes into `dist/store/` what the two stores ask for: the icon with its margin, the tiles, and for
 * each language five pictures of the popup at work and the texts to paste. `bun run store ko` makes one language alone.
 */
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { LANGUAGES, type Language, messagesPath } from '../extension/languages.ts'
import { LISTINGS, SCENES } from '../extension/listing.ts'
import { openStage, type Stage } from './support/stage.ts'

const root = join(import.meta.dir, '..')
const extension = join(root, 'extension')

/** What the popup shows in each scene: one state, or two, the later before the earlier. */
const STATES: Record<(typeof SCENES)[number], { states: string[]; scheme: 'light' | 'dark' }> = {
  write: { states: ['typing', 'written'], scheme: 'light' },
  load: { states: ['loaded'], scheme: 'light' },
  seal: { states: ['sealing'], scheme: 'light' },
  once: { states: ['taken'], scheme: 'light' },
  dark: { states: ['sealing', 'protected'], scheme: 'dark' },
}

const dataUrl = (type: string, bytes: Uint8Array) => `data:${type};base64,${Buffer.from(bytes).toString('base64')}`
const svg = readFileSync(join(extension, 'icons/icon.svg'), 'utf8')
const icon = dataUrl('image/svg+xml', Buffer.from(svg))
/** The icon without its ground, where it stands on one of that colour. */
const cloud = dataUrl(
  'image/svg+xml',
  Buffer.from(svg.replace(/<rect[^>]*>/, '').replace('0 0 128 128', '12 22 108 78')),
)
const letters = dataUrl('font/woff2', readFileSync(join(extension, 'assets/letters-5.3.0.woff2')))

/** It has the letters of all languages, each as its readers write them. */
const FONT = 'Noto Sans CJK KR'

/** One ground, one ink, one accent, as in the popup itself. */
const STYLE = `
  @font-face { font-family: letters; font-weight: 700; src: url("${letters}") }
  * { box-sizing: border-box; margin: 0 }
  html { height: 100% }
  body {
    position: relative; height: 100%; overflow: hidden; color: #1b1a2b;
    background: radial-gradient(circle at 78% 40%, #fff 0, #f5f4fa 45%, #e9e7f6 100%);
    font-family: "${FONT}", sans-serif;
  }
  body.dark { color: #efeef9; background: radial-gradient(circle at 78% 40%, #2b2850 0, #1a1829 50%, #13121b 100%) }
  :lang(ja) { word-break: auto-phrase }
  :lang(ko) { word-break: keep-all }
  .words { position: absolute; left: 80px; width: 500px; top: 0; bottom: 0; display: grid; align-content: center; gap: 24px }
  h1, p { white-space: pre-line }
  h1 { font-size: 60px; line-height: 1.18; font-weight: 900; letter-spacing: -0.015em; text-wrap: balance }
  p { font-size: 26px; line-height: 1.5; color: #5a586f; text-wrap: pretty }
  .dark p { color: #aeacc6 }
  .wordmark { position: absolute; left: 80px; top: 56px; display: flex; gap: 14px; align-items: center; font: 700 26px letters, monospace }
  .wordmark img { width: 44px; height: 44px }
  .shot {
    position: absolute; left: 800px; top: 50%; width: 420px; translate: -50% -50%; border-radius: 18px;
    box-shadow: 0 0 0 1px rgb(27 26 43 / 8%), 0 4px 12px rgb(27 26 43 / 8%), 0 32px 80px rgb(55 45 176 / 22%);
  }
  .dark .shot { box-shadow: 0 0 0 1px rgb(255 255 255 / 12%), 0 32px 90px rgb(0 0 0 / 60%) }
  .shot.only { left: 930px; width: 460px }
  .shot.first { left: 850px; top: 44%; width: 380px; opacity: 0.92 }
  .shot.then { left: 1010px; top: 56%; width: 400px }
  .tile { color: #fff; background: radial-gradient(circle at 80% 20%, #6d63f0 0, #4338ca 50%, #2e2790 100%) }
  .codes { display: flex; font: 700 1em / 1 letters, monospace }
  .codes b { display: grid; place-items: center; width: 1.45em; height: 1.75em; margin-right: 0.22em; border-radius: 0.3em; color: #3730a3; background: #eceafd }
  .codes b.capital { color: #b03a00; background: #fdeee4; box-shadow: inset 0 -0.1em #e8590c; }
`

const pageOf = (language: string, body: string, isDark = false, kind = '') =>
  `<!doctype html><html lang="${language}"><meta charset="utf-8"><style>${STYLE}</style><body class="${isDark ? 'dark' : ''} ${kind}">${body}`

const wordmark = `<div class="wordmark"><img src="${icon}" alt="">extextcloud</div>`
const code = [...'gRaN'].map((letter) => `<b class="${/[A-Z]/.test(letter) ? 'capital' : ''}">${letter}</b>`).join('')

/** The PNG of a page of our own. It has no alpha unless `isClear`. */
async function draw({ browser }: Stage, html: string, width: number, height: number, isClear = false) {
  const page = await browser.newPage()
  await page.setViewport({ width, height })
  await page.setContent(html)
  await page.evaluate(() => Promise.all([document.fonts.ready, ...[...document.images].map((image) => image.decode())]))
  const png = await page.screenshot({ omitBackground: isClear })
  await page.close()
  return png
}

/** The popup, twice as sharp as a screen shows it. */
async function popup(stage: Stage, state: string, language: Language, scheme: string) {
  const { sample: text } = LISTINGS[language]
  return dataUrl(
    'image/png',
    await stage.take(['popup', state, language.replace('_', '-'), scheme], { text, scale: 2 }),
  )
}

async function drawScene(stage: Stage, language: Language, scene: (typeof SCENES)[number]) {
  const { states, scheme } = STATES[scene]
  const [headline, line] = LISTINGS[language].scenes[scene]
  const shots: string[] = []
  for (const [at, state] of states.entries()) {
    const place = states.length === 1 ? 'only' : (['first', 'then'][at] as string)
    shots.push(`<img class="shot ${place}" src="${await popup(stage, state, language, scheme)}" alt="">`)
  }
  const words = `<div class="words"><h1>${headline}</h1><p>${line}</p></div>`
  return draw(
    stage,
    pageOf(language.replace('_', '-'), wordmark + words + shots.join(''), scheme === 'dark'),
    1280,
    800,
  )
}

/** The files of one language: their names, and the texts in them. Name and summary are those of the manifest, which Chrome's store shows. */
export function textsOf(language: Language): Record<string, string> {
  const { name, tagline } = JSON.parse(readFileSync(join(extension, messagesPath(language)), 'utf8'))
  const { description, purpose, permissions, data } = LISTINGS[language]
  const reasons = Object.entries(permissions).map(([permission, reason]) => [`permissions/${permission}.txt`, reason])
  return {
    'name.txt': name.message,
    'summary.txt': tagline.message,
    'description.txt': description,
    'single-purpose.txt': purpose,
    'data.txt': data,
    ...Object.fromEntries(reasons),
  }
}

/** Writes all that the stores ask for into the folder `out`, in these languages. */
export async function writeListing(out: string, languages: Language[]) {
  await rm(out, { recursive: true, force: true })
  await using stage = await openStage({ font: FONT })
  const write = async (name: string, content: string | Uint8Array) => void (await Bun.write(join(out, name), content))

  const margin =
    '<style>*{margin:0}img{display:block;padding:16px;width:128px;height:128px;box-sizing:border-box}</style>'
  await write('icon-128x128.png', await draw(stage, `${margin}<img src="${icon}">`, 128, 128, true))
  const small = `<div style="position:absolute;inset:0;display:grid;place-content:center;justify-items:center;gap:26px">
    <div style="display:flex;gap:16px;align-items:center;font:700 36px letters"><img src="${cloud}" width="62" alt="">extextcloud</div>
    <div class="codes" style="font-size:52px;padding-left:0.22em">${code}</div></div>`
  await write('tile-440x280.png', await draw(stage, pageOf('en', small, false, 'tile'), 440, 280))
  const shot = await popup(stage, 'loaded', 'en', 'light')
  const marquee = `<div style="position:absolute;left:110px;top:0;bottom:0;display:grid;align-content:center;gap:44px">
    <div style="display:flex;gap:24px;align-items:center;font:700 66px letters"><img src="${cloud}" width="122" alt="">extextcloud</div>
    <div class="codes" style="font-size:104px">${code}</div></div>
    <img class="shot" style="left:1085px;width:390px" src="${shot}" alt="">`
  await write('marquee-1400x560.png', await draw(stage, pageOf('en', marquee, false, 'tile'), 1400, 560))

  for (const language of languages) {
    for (const [name, text] of Object.entries(textsOf(language))) await write(`${language}/${name}`, `${text}\n`)
    for (const [at, scene] of SCENES.entries())
      await write(`${language}/${at + 1}-${scene}.png`, await drawScene(stage, language, scene))
  }
}

if (import.meta.main) {
  const named = process.argv.slice(2) as Language[]
  const out = join(root, 'dist/store')
  await writeListing(out, named.length > 0 ? named : (Object.keys(LANGUAGES) as Language[]))
  console.log(`${relative('.', out)}: PUBLISHING.md says where each file goes`)
}
