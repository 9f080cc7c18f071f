/**
 * `bun run release`: makes what a release consists of, in `dist/release/`: the server for every machine that Bun compiles
 * for, both extensions, a list of all that is inside (CycloneDX), and the checksums. `bun run release v1.2.3` refuses
 * another version than that.
 */
import { createHash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { Contrib, Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library'
import parseLicense from 'spdx-expression-parse'
import { buildExecutable, buildExtension, SERVER } from './build.ts'
import lock from './bun.lock'
import manifest from './package.json' with { type: 'json' }

const root = import.meta.dir

export const TARGETS = [
  'linux-x64',
  'linux-arm64',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'windows-x64',
  'windows-arm64',
]

/** The face that `extension/assets/cut.ts` has cut letters from: no bundler knows of it. */
const FACE = '@fontsource/atkinson-hyperlegible-mono'

/** What `bun.lock` has of each package, by its place, such as `@a/b/c` for the `c` inside of `@a/b`. */
const locked = lock.packages as unknown as Record<
  string,
  [id: string, registry: string, wants: object, integrity: string]
>

/** The place of the package that a bundled file is from; undefined for files of our own. */
function placeOf(file: string): string | undefined {
  const [, ...inner] = file.split('node_modules/')
  return inner.map((path) => /^(@[^/]+\/)?[^/]+/.exec(path)?.[0]).join('/') || undefined
}

/** What is inside of that which was built, by what the bundler says of it: CycloneDX 1.6 in JSON, the same in every run. */
async function billOfMaterials(built: Bun.BuildMetafile[]): Promise<string> {
  const { ComponentType, HashAlgorithm } = Enums
  const { Builders, Factories } = Contrib.FromNodePackageJson
  const builder = new Builders.ComponentBuilder(
    new Factories.ExternalReferenceFactory(),
    new Contrib.License.Factories.LicenseFactory(parseLicense),
  )
  const product = builder.makeComponent(manifest, ComponentType.Application) as Models.Component
  product.bomRef.value = `${manifest.name}@${manifest.version}`
  const known = new Map<string | undefined, Models.Component>([[undefined, product]])

  async function componentOf(place: string | undefined): Promise<Models.Component> {
    const before = known.get(place)
    if (before || place === undefined) return before ?? product
    const [id, , , integrity] = locked[place] ?? []
    const path = join(
      root,
      'node_modules',
      (place.match(/(@[^/]+\/)?[^/]+/g) ?? []).join('/node_modules/'),
      'package.json',
    )
    const component = builder.makeComponent(JSON.parse(await readFile(path, 'utf8')), ComponentType.Library)
    if (!component || !id || !integrity) throw new Error(`bun.lock does not know ${place}`)
    component.purl = `pkg:npm/${id.replace(/^@/, '%40')}`
    component.bomRef.value = component.purl
    component.hashes.set(
      HashAlgorithm['SHA-512'],
      Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex'),
    )
    known.set(place, component)
    return component
  }

  for (const [file, { imports }] of built.flatMap(({ inputs }) => Object.entries(inputs))) {
    const importer = await componentOf(placeOf(file))
    for (const { path } of imports) {
      const imported = await componentOf(placeOf(path))
      if (imported !== importer && imported !== product) importer.dependencies.add(imported.bomRef)
    }
  }
  product.dependencies.add((await componentOf(FACE)).bomRef)
  const bun = builder.makeComponent({ name: 'bun', version: Bun.version, license: 'MIT' }, ComponentType.Platform)
  if (bun) {
    bun.purl = `pkg:npm/bun@${Bun.version}`
    bun.bomRef.value = bun.purl
    known.set('bun', bun)
    product.dependencies.add(bun.bomRef)
  }

  const bom = new Models.Bom({ metadata: new Models.Metadata({ component: product }) })
  for (const component of known.values()) if (component !== product) bom.components.add(component)
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6))
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`
}

/** Makes a release into the folder `out`. */
export async function makeRelease(out: string, targets = TARGETS) {
  const { name, version } = manifest
  await rm(out, { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  const built: Bun.BuildMetafile[] = []
  for (const target of targets) built.push(await buildExecutable(join(out, `${name}-${version}-${target}`), target))
  for (const browser of ['chromium', 'firefox'] as const) {
    const folder = join(out, `${name}-${version}-${browser}`)
    built.push(await buildExtension(browser, folder, SERVER))
    await rm(folder, { recursive: true })
  }
  await Bun.write(join(out, `${name}-${version}-sbom.cdx.json`), await billOfMaterials(built))
  await cp(join(root, 'LICENSE'), join(out, 'LICENSE'))
  const sums = []
  for (const file of (await readdir(out)).sort())
    sums.push(
      `${createHash('sha256')
        .update(await readFile(join(out, file)))
        .digest('hex')}  ${file}\n`,
    )
  await Bun.write(join(out, 'SHA256SUMS'), sums.join(''))
}

if (import.meta.main) {
  const [tag = `v${manifest.version}`] = process.argv.slice(2)
  if (tag !== `v${manifest.version}`) throw new Error(`package.json says ${manifest.version}, and the tag is ${tag}`)
  const out = join(root, 'dist/release')
  await makeRelease(out)
  console.log(`${relative('.', out)}:\n${await readFile(join(out, 'SHA256SUMS'), 'utf8')}`)
}
