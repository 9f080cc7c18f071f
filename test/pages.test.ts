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

test('every command that the pages name is in package.json', () => {
  const { scripts } = JSON.parse(read('package.json'))
  const named = pages.flatMap((page) => [...read(page).matchAll(/\bbun run ([a-z:]+)/g)].map(([, name = '']) => name))
  expect(named.filter((name) => !(name in scripts))).toEqual([])
})
