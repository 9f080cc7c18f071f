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
    .replace(/[^\w -]/g, '')
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
