/**
 * Bundles `extension/` into the page that the server carries in itself. By `bun run build` it makes all that is given
 * away: the server as one executable, and the extension for each browser. `bun run build extension` makes the latter
 * alone, `bun run build linux-x64 linux-arm64` executables for other machines: no more than what is named.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { LANGUAGES, messagesPath } from './extension/languages.ts'
import manifest from './extension/manifest.json' with { type: 'json' }
import { version } from './package.json' with { type: 'json' }

const SOURCE = join(import.meta.dir, 'extension')

export interface PageFile {
  path: string
  type: string
  /** Whether its name changes with its content. */
  isHashed: boolean
  /** Both base64. A file that does not shrink has no `gzip`. */
  body: string
  gzip?: string
}

/** What is not in the extension's popup: the letters travel first, and a phone can install the page. */
const PAGE_HEAD =
  '<link rel="preload" href="/assets/letters-5.3.0.woff2" as="font" type="font/woff2" crossorigin>' +
  '<link rel="manifest" href="/app.webmanifest"><link rel="apple-touch-icon" href="/icons/180.png">' +
  '<meta name="theme-color" content="#4338ca">'

/** Crawlers find the page; codes and the API are none of their business, and would only cost them misses. */
const ROBOTS = 'User-agent: *\nAllow: /$\nAllow: /assets/\nDisallow: /\n'

/** Addresses that stay as they are. */
const ADDRESSES: Record<string, string> = {
  // Browsers know the service worker by it, and its folder is what it may serve.
  offline: '/offline.js',
  // Asked for with the first password: a page that was opened before the server was updated must still find them. They
  // are not kept for when there is no network, since then there is nothing to seal for.
  seal: '/assets/seal.js',
  argon2: '/assets/argon2.js',
}

/** Every file of the web page. Runs as a macro, where `Bun.build` is forbidden: hence the child process. */
export function bundlePage(): PageFile[] {
  const out = mkdtempSync(join(tmpdir(), 'extextcloud-'))
  try {
    const naming = ['entry', 'chunk', 'asset'].map((kind) => `--${kind}-naming=[name]-[hash].[ext]`)
    const entries = ['popup.html', 'offline.ts', 'seal.ts', 'argon2.ts'].map((name) => join(SOURCE, name))
    const { success, stderr } = Bun.spawnSync(
      [
        process.execPath,
        'build',
        ...entries,
        '--minify',
        '--external=/assets/*',
        '--public-path=/assets/',
        `--outdir=${out}`,
        '--define',
        'BROWSER="page"',
        ...naming,
      ],
      { env: { ...process.env, NODE_ENV: 'production' } },
    )
    if (!success) throw new Error(`The page could not be bundled: ${stderr}`)

    const bundled = readdirSync(out).map((name) => {
      const content = readFileSync(join(out, name))
      if (name.endsWith('.html'))
        return pageFile('/', 'page.html', content.toString().replace('</head>', `${PAGE_HEAD}</head>`))
      const address = ADDRESSES[name.split('-')[0] ?? '']
      if (address) return pageFile(address, name, content)
      return { ...pageFile(`/assets/${name}`, name, content), isHashed: true }
    })
    // Past the bundler, which would write the font into the style sheet.
    const fonts = readdirSync(join(SOURCE, 'assets')).filter((name) => name.endsWith('.woff2'))
    const icons = readdirSync(join(SOURCE, 'icons')).filter((name) => name.endsWith('.png'))
    return [
      ...bundled,
      ...fonts.map((name) => ({
        ...pageFile(`/assets/${name}`, name, readFileSync(join(SOURCE, 'assets', name))),
        isHashed: true,
      })),
      ...icons.map((name) => pageFile(`/icons/${name}`, name, readFileSync(join(SOURCE, 'icons', name)))),
      ...Object.keys(LANGUAGES)
        .filter((language) => language !== 'en')
        .map((language) => pageFile(messagesPath(language), 'messages.json', minifiedJson(messagesPath(language)))),
      pageFile('/app.webmanifest', 'app.webmanifest', readFileSync(join(SOURCE, 'app.webmanifest'))),
      pageFile('/robots.txt', 'robots.txt', ROBOTS),
      // Some browsers ask for it by this name, whatever the page says.
      pageFile('/favicon.ico', '32.png', readFileSync(join(SOURCE, 'icons/32.png'))),
    ]
  } finally {
    rmSync(out, { recursive: true })
  }
}

const minifiedJson = (path: string) => JSON.stringify(JSON.parse(readFileSync(join(SOURCE, path), 'utf8')))

function pageFile(path: string, name: string, content: string | Buffer): PageFile {
  const body = Buffer.from(content)
  const gzip = gzipSync(body, { level: 9 })
  return {
    path,
    type: name.endsWith('.webmanifest') ? 'application/manifest+json' : Bun.file(name).type,
    isHashed: false,
    body: body.toString('base64'),
    ...(gzip.length < body.length * 0.9 && { gzip: gzip.toString('base64') }),
  }
}

/** The server that the extension is made for, unless another is named. */
export const SERVER = 'https://www.extextcloud.com'

/** What the two browsers disagree on. */
const BROWSERS = {
  chromium: {
    minimum_chrome_version: '127',
    background: { service_worker: 'background.js', type: 'module' },
    permissions: ['offscreen'],
  },
  firefox: {
    background: { scripts: ['background.js'], type: 'module' },
    browser_specific_settings: {
      gecko: {
        id: 'extextcloud@extextcloud.com',
        strict_min_version: '142.0',
        // The text that a person sends may be what he selected in a page.
        data_collection_permissions: { required: ['websiteContent'] },
      },
      gecko_android: { strict_min_version: '142.0' },
    },
    permissions: [],
  },
}

/** Builds the extension for one browser into `out` and `out.zip`. The same source makes the same bytes, in every checkout that it is run from. Returns what is in it, as the bundler tells it. */
export async function buildExtension(browser: keyof typeof BROWSERS, out: string, server: string) {
  await rm(out, { recursive: true, force: true })
  const pages = ['popup.html', 'options.html', ...(browser === 'chromium' ? ['offscreen.html'] : [])]
  const { metafile } = await Bun.build({
    entrypoints: [...pages, 'background.ts', 'argon2.ts'].map((name) => join(SOURCE, name)),
    outdir: out,
    naming: '[name].[ext]',
    external: ['/assets/*'],
    define: { SERVER_URL: JSON.stringify(server), BROWSER: JSON.stringify(browser) },
    minify: { syntax: true },
    metafile: true,
  })
  const { permissions, ...ofBrowser } = BROWSERS[browser]
  const extension = {
    ...manifest,
    ...ofBrowser,
    version,
    permissions: [...manifest.permissions, ...permissions].sort(),
  }
  await writeFile(join(out, 'manifest.json'), `${JSON.stringify(extension, null, 2)}\n`)
  const filter = (path: string) => !path.endsWith('.ts')
  for (const folder of ['_locales', 'assets']) {
    await cp(join(SOURCE, folder), join(out, folder), { recursive: true, filter })
  }
  await Promise.all(Object.values(manifest.icons).map((icon) => cp(join(SOURCE, icon), join(out, icon))))

  const files = (await readdir(out, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  const contents = await Promise.all(
    files.map(async (file) => [relative(out, file).replaceAll('\\', '/'), await readFile(file)] as const),
  )
  // Imported here, since it is not installed where the server only starts and bundles its page.
  const { zipSync } = await import('fflate')
  // The earliest time that a zip can tell.
  await writeFile(`${out}.zip`, zipSync(Object.fromEntries(contents), { level: 9, mtime: new Date(1980, 0, 1) }))
  return metafile as Bun.BuildMetafile
}

/** Compiles the server into one executable, page and migrations inside: for this machine, or for a target such as `linux-arm64`. Returns what is in it, as the bundler tells it. */
export async function buildExecutable(outfile: string, target?: string) {
  const { metafile } = await Bun.build({
    entrypoints: [join(import.meta.dir, 'index.ts')],
    compile: { outfile, ...(target && { target: `bun-${target}` as Bun.Build.CompileTarget }) },
    minify: true,
    metafile: true,
  })
  return metafile as Bun.BuildMetafile
}

async function buildExtensions() {
  const server = new URL(process.env.SERVER_URL || SERVER).origin
  for (const browser of ['chromium', 'firefox'] as const) {
    const out = join(import.meta.dir, 'dist/extension', browser)
    await buildExtension(browser, out, server)
    console.log(`${relative('.', out)} and its zip, for ${server}`)
  }
}

if (import.meta.main) {
  const named = process.argv.slice(2)
  for (const target of named.length > 0 ? named : ['executable', 'extension']) {
    if (target === 'extension') await buildExtensions()
    else {
      const isHere = target === 'executable'
      const outfile = join(import.meta.dir, 'dist', isHere ? 'extextcloud' : `extextcloud-${target}`)
      await buildExecutable(outfile, isHere ? undefined : target)
      console.log(relative('.', outfile))
    }
  }
}
