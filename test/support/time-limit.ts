/**
 * The time limit of every test. Bun has no setting for it (https://github.com/oven-sh/bun/issues/7789), and
 * `setDefaultTimeout` holds only for the file that is loaded next, so it is called as each file is loaded.
 */
import { setDefaultTimeout } from 'bun:test'
import { readFileSync } from 'node:fs'

const setLimit = () => setDefaultTimeout(120_000)

setLimit() // For what the preloaded file itself does at the end.
Bun.plugin({
  name: 'time limit',
  setup: (build) => {
    build.onLoad({ filter: /\.test\.ts$/ }, ({ path }) => {
      setLimit()
      return { contents: readFileSync(path, 'utf8'), loader: 'ts' }
    })
  },
})
