/** Commits to the SQLite file: what is asked at once together, what takes long in turns. */
import type { Database } from 'bun:sqlite'
import type { Damage } from './damage.ts'
import { isBusy } from './errors.ts'

/** Milliseconds of work before requests are let through. The sweep commits then, which takes many times that. */
export const TURN = 1

/** Does work in a transaction, and resolves with its result once that is on the disk. */
export type Commit = <T>(work: () => T) => Promise<T>

/**
 * Makes the function that commits work. What arrives in one turn of the event loop shares one transaction, and so one
 * fsync: several times the rate of a commit each, and just as durable, since nothing is answered before it.
 */
export function groupCommit(sqlite: Database, damage: Damage): Commit {
  let waiting: { run: () => void; done: () => void; fail: (error: unknown) => void }[] = []

  const together = sqlite.transaction((jobs: typeof waiting) => {
    for (const job of jobs) job.run()
  })

  function commit(jobs: typeof waiting) {
    try {
      together.immediate(jobs)
    } catch (error) {
      // One that fails must not fail its neighbours: each gets a transaction of its own. A file that is locked is
      // locked for all of them, and each would block the process while it waits.
      if (jobs.length > 1 && !isBusy(error)) for (const job of jobs) commit([job])
      else for (const job of jobs) job.fail(damage.explain(error))
      return
    }
    for (const job of jobs) job.done()
  }

  return <T>(work: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      let result: T
      const run = () => {
        result = work()
      }
      if (waiting.push({ run, done: () => resolve(result), fail: reject }) > 1) return
      setImmediate(() => {
        const jobs = waiting
        waiting = []
        commit(jobs)
      })
    })
}
