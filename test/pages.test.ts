/** The pages for people: README and what it leads to. */
import { expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(import.meta.dir, '..')
const pages = ['.', 'db', 'test/bench'].flatMap((folder) => [...new Bun.Glob(`${folder}/*.md`).scanSync(root)])

const read = (page: string) => readFileSync(join(root, page), 'utf8')

/** A heading as links name it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-')

const anchorsIn = (page: string) => [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

test('every link and picture in the pages leads to a file, and to a heading that is there', () => {
  const links = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)(.*?)\)|src="(.*?)"/g)].map(([, link, picture]) => {
      const [file = '', anchor] = (link ?? picture ?? '').split('#')
      return { page, target: file ? join(dirname(page), file) : page, anchor }
    }),
  )
  expect(links.length).toBeGreaterThan(10)
  const broken = links.filter(
    ({ target, anchor }) =>
      !existsSync(join(root, target)) || (anchor !== undefined && !anchorsIn(target).includes(anchor)),
  )
  expect(broken).toEqual([])
})

test('no line for curl needs a newer one than old systems have', () => {
  // curl 7.74 is Debian 11's, 7.76 that of RHEL 9.
  const flags = ['--json', '--variable', '--expand-', '--url-query', '--fail-with-body']
  for (const page of pages)
    for (const flag of flags) expect([page, read(page)]).not.toEqual([page, expect.stringContaining(flag)])
})

test('every command that the pages name is in package.json', () => {
  const { scripts } = JSON.parse(read('package.json'))
  const named = pages.flatMap((page) => [...read(page).matchAll(/\bbun run ([a-z:]+)/g)].map(([, name = '']) => name))
  expect(named.filter((name) => !(name in scripts))).toEqual([])
})

/** The sections of a page, without what stands before the first. */
const sectionsOf = (page: string) => read(page).split(/^## /m).slice(1)

/** The commands in fenced and in indented blocks, without what is remarked beside them. */
const blocksOf = (section: string) =>
  (section.match(/^```[\s\S]*?^```$|(?:^ {4}.*\n?)+/gm) ?? []).map((block) =>
    block
      .replace(/^```.*$/gm, '')
      .replace(/(?<=\S)\s+# .*$/gm, '')
      .trim(),
  )

/** What is the same in every language: names in code, and where links lead. */
const namesIn = (section: string) => {
  const prose = section.replace(/^```[\s\S]*?^```$|^ {4}.*$/gm, '')
  return new Set([...prose.matchAll(/`([^`]+)`|\]\(([^#)]+)/g)].map(([, name, target]) => name ?? target))
}

/** The rows of tables whose first cell is a name: that, and what stands beside it if it is one too. */
const rowsOf = (section: string) =>
  [...section.matchAll(/^\| (`[^|]+) \|([^|]*)\|/gm)].map(([, name = '', value = '']) =>
    /^ (`.*` )?$/.test(value) ? `${name} ${value.trim()}` : name,
  )

test('README in Korean has the sections, commands, settings, names and links of README', () => {
  const [here, there] = [sectionsOf('README.md'), sectionsOf('README.ko.md')]
  expect(there).toHaveLength(here.length)
  // Of what README only leads to, it has the commands for a server and for its upkeep.
  const elsewhere = ['OPERATING.md', 'db/README.md'].flatMap((page) => blocksOf(read(page)))
  for (const [at, section] of here.entries()) {
    // What has a smaller heading there is for those who come from the service's first description.
    const [korean = ''] = there[at]?.split(/^### /m) ?? []
    const title = section.split('\n')[0]
    const blocks = blocksOf(section)
    const further = blocksOf(korean).filter((block) => !blocks.includes(block))
    expect([title, blocksOf(korean).filter((block) => !further.includes(block))]).toEqual([title, blocks])
    expect([title, further.filter((block) => !elsewhere.includes(block))]).toEqual([title, []])
    expect([title, rowsOf(korean)]).toEqual([title, rowsOf(section)])
    const names = namesIn(korean)
    expect([title, [...namesIn(section)].filter((name) => !names.has(name))]).toEqual([title, []])
  }
})
