/** Waiting for what happens in its own time: in a browser, in another process. */

/** Milliseconds that anything may take: well below a test's own limit, at which bun kills the browser with it. */
export const PATIENCE = 5000

/** Waits until `probe` returns something true, and returns it. `what` is for the error; `patience` is in milliseconds. */
export async function poll<R>(what: string, probe: () => Promise<R>, patience = PATIENCE): Promise<Truthy<R>> {
  const end = Date.now() + patience
  let failure: unknown
  while (Date.now() < end) {
    try {
      const result = await probe()
      if (result) return result as Truthy<R>
      failure = undefined
    } catch (error) {
      failure = error // A page that is being left cannot answer: the next one can.
    }
    await Bun.sleep(25)
  }
  throw new Error(`Waited in vain for ${what}.${failure ? ` ${failure}.` : ''}`)
}

export type Truthy<R> = Exclude<R, undefined | null | false | '' | 0>
