/** Transactions on the SQLite file: what is asked at once shares one, what takes long works in turns. */
import type { Database } from 'bun:sqlite'
import type { Damage } from './damage.ts'
import { isBusy } from './errors.ts'

/** Milliseconds of work before requests are let through. The sweep commits then, which takes many times that. */
export const TURN = 1

export interface Transactions {
  /** Does work that only reads. */
  read<T>(work: () => T): T
  /** Does work in a transaction, and resolves with its result once that is on the disk. */
  commit<T>(work: () => T): Promise<T>
  /** Does work that no transaction may be around. */
  outside<T>(work: () => T): T
}

/**
 * What arrives in one turn of the event loop shares one transaction. To read, that saves the file's lock, which takes four
 * times as long as the reading. To write, it saves an fsync each: several times the rate of a commit each, and just as
 * durable, since nothing is answered before it.
 */
export function createTransactions(sqlite: Database, damage: Damage): Transactions {
  const [begin, end] = [sqlite.query('BEGIN'), sqlite.query('ROLLBACK')] // COMMIT fails where the file is damaged.
  let isReading = false
  let waiting: { run: () => void; done: () => void; fail: (error: unknown) => void }[] = []

  function endReading() {
    if (isReading && sqlite.inTransaction) end.run()
    isReading = false
  }

  const together = sqlite.transaction((jobs: typeof waiting) => {
    for (const job of jobs) job.run()
  })

  function commitAll(jobs: typeof waiting) {
    try {
      together.immediate(jobs)
    } catch (error) {
      // One that fails must not fail its neighbours: each gets a transaction of its own. A file that is locked is
      // locked for all of them, and each would block the process while it waits.
      if (jobs.length > 1 && !isBusy(error)) for (const job of jobs) commitAll([job])
      else for (const job of jobs) job.fail(damage.explain(error))
      return
    }
    for (const job of jobs) job.done()
  }

  return {
    read(work) {
      if (!isReading) {
        begin.run()
        isReading = true
        setImmediate(endReading)
      }
      return work()
    },

    commit: <T>(work: () => T) =>
      new Promise<T>((resolve, reject) => {
        let result: T
        const run = () => {
          result = work()
        }
        if (waiting.push({ run, done: () => resolve(result), fail: reject }) > 1) return
        setImmediate(() => {
          endReading()
          const jobs = waiting
          waiting = []
          commitAll(jobs)
        })
      }),

    outside(work) {
      endReading()
      return work()
    },
  }
}
