/** What a release consists of: every file with its checksum, the executable that runs, the list of all that is inside. */
import { afterEach, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Spec, Validation } from '@cyclonedx/cyclonedx-library'
import manifest from '../package.json' with { type: 'json' }
import { makeRelease, TARGETS } from '../release.ts'
import { load, start, stopAll, write } from './support/processes.ts'
import { filledDatabase, root, temporaryPath } from './support/support.ts'

afterEach(stopAll)

const { name, version } = manifest
const here = `${process.platform}-${process.arch}`

test('a release has the executable, both extensions, the licence, the list of what is inside, and the checksum of each', async () => {
  const out = temporaryPath('release')
  await makeRelease(out, [here])
  const files = readdirSync(out).sort()
  const made = ['chromium.zip', 'firefox.zip', here, 'sbom.cdx.json'].map((end) => `${name}-${version}-${end}`)
  expect(files).toEqual(['LICENSE', 'SHA256SUMS', ...made].sort())
  const sums = (await Bun.file(join(out, 'SHA256SUMS')).text()).trim().split('\n')
  expect(sums.map((line) => line.split('  ')[1])).toEqual(files.filter((file) => file !== 'SHA256SUMS'))
  expect((await Bun.$`sha256sum --check --strict SHA256SUMS`.cwd(out).quiet().nothrow()).exitCode).toBe(0)

  const server = await start(await filledDatabase(), {}, [], [join(out, `${name}-${version}-${here}`)])
  expect(await load(server, await write(server, 'from a release'))).toBe('from a release')

  const sbom = await Bun.file(join(out, `${name}-${version}-sbom.cdx.json`)).text()
  expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(sbom)).toBeNull()
  const { metadata, components } = JSON.parse(sbom)
  expect(metadata.component).toMatchObject({ name, version })
  const listed: string[] = components.map(({ purl }: { purl: string }) => decodeURIComponent(purl))
  expect(new Set(listed).size).toBe(listed.length)
  for (const [library, pinned] of Object.entries(manifest.dependencies))
    expect(listed).toContain(`pkg:npm/${library}@${pinned}`)
  expect(listed).toContain(`pkg:npm/bun@${Bun.version}`)
  // What only tests and builds use is in none of it.
  for (const tool of ['puppeteer-core', 'typescript', 'fflate', 'drizzle-kit'])
    expect(listed.filter((purl) => purl.includes(`/${tool}@`))).toEqual([])
  for (const { licenses } of components) expect(licenses.length).toBeGreaterThan(0)
})

test('it is made for every machine that is promised, by one command, which the workflow runs on a tag', async () => {
  expect(TARGETS).toEqual(expect.arrayContaining(['linux-x64', 'linux-arm64', 'linux-x64-musl', 'linux-arm64-musl']))
  const workflow = Bun.YAML.parse(await Bun.file(join(root, '.github/workflows/release.yml')).text()) as {
    on: unknown
    jobs: { release: { steps: { run?: string }[] } }
  }
  expect(workflow.on).toEqual({ push: { tags: ['v*'] } })
  const commands = workflow.jobs.release.steps.flatMap(({ run }) => run ?? [])
  expect(commands[0]).toBe(`npx --yes ${manifest.packageManager} run release "$GITHUB_REF_NAME"`)
  expect(commands[1]).toEndWith(' dist/release/*')
})

test('a tag of another version than that of the source is refused before anything is made', async () => {
  const refused = await Bun.$`${process.execPath} release.ts v99.0.0`.cwd(root).quiet().nothrow()
  expect(refused.exitCode).not.toBe(0)
  expect(refused.stderr.toString()).toContain(`package.json says ${version}, and the tag is v99.0.0`)
})

test('the changelog has the form of Keep a Changelog, and a section for this version', async () => {
  const lines = (await Bun.file(join(root, 'CHANGELOG.md')).text()).split('\n')
  const versions = lines.filter((line) => line.startsWith('## '))
  expect(versions[0]).toBe('## [Unreleased]')
  for (const heading of versions.slice(1)) expect(heading).toMatch(/^## \[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$/)
  expect(versions[1]).toStartWith(`## [${version}] - `)
  const kinds = lines.filter((line) => line.startsWith('### ')).map((line) => line.slice(4))
  for (const kind of kinds) expect(['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']).toContain(kind)
})
