/** A client of Marionette, the protocol beneath geckodriver. */
import type { Socket } from 'node:net'

/** Says `LENGTH:[0, id, command, parameters]` there, `LENGTH:[1, id, error, result]` back. */
export class Marionette {
  #received = Buffer.alloc(0)
  #waiting = new Map<number, { resolve: (result: unknown) => void; fail: (why: string) => void }>()
  #sent = 0

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      for (;;) {
        const colon = this.#received.indexOf(':')
        const end = colon + 1 + Number(this.#received.subarray(0, colon))
        if (colon < 0 || this.#received.length < end) return
        const message = JSON.parse(this.#received.toString('utf8', colon + 1, end))
        this.#received = this.#received.subarray(end)
        if (!Array.isArray(message)) continue // The greeting.
        const [, id, error, result] = message
        const { resolve, fail } = this.#waiting.get(id) ?? {}
        this.#waiting.delete(id)
        if (error) fail?.(`${error.error}: ${error.message}`)
        else resolve?.(result)
      }
    })
    socket.on('close', () => {
      for (const { fail } of this.#waiting.values()) fail('Firefox has closed the connection')
      this.#waiting.clear()
    })
  }

  /** Sends a command; returns its result, or what the result has as `value`. */
  async send<Result>(command: string, parameters: object = {}): Promise<Result> {
    const id = ++this.#sent
    const failure = new Error() // Made here, where its stack still tells who asked.
    const answer = new Promise<unknown>((resolve, reject) => {
      const fail = (why: string) => reject(Object.assign(failure, { message: `${command}: ${why}` }))
      this.#waiting.set(id, { resolve, fail })
    })
    const message = JSON.stringify([0, id, command, parameters])
    this.socket.write(`${Buffer.byteLength(message)}:${message}`)
    const result = await answer
    return (result && typeof result === 'object' && 'value' in result ? result.value : result) as Result
  }

  run<Result>(expression: string): Promise<Result> {
    return this.send('WebDriver:ExecuteScript', { script: `return ${expression}`, args: [], sandbox: null })
  }
}
