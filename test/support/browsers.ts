/** What the tests say to any browser (open, click, type, press, wait until), and which browsers are here. */
import { poll, type Truthy } from './poll.ts'

export type Argument = string | number | boolean | null

/** A tab or a popup. Selectors name the first match that is shown; what is not there yet is waited for. */
export abstract class Page {
  abstract goto(url: string): Promise<void>
  abstract reload(): Promise<void>
  /** Runs `script` in the page. It is sent as source, so it sees nothing but the page and its arguments. */
  abstract evaluate<A extends Argument[], R>(script: (...args: A) => R | Promise<R>, ...args: A): Promise<R>
  /** Presses keys together, by their DOM names: `press('Control', 'Enter')`. */
  abstract press(...keys: string[]): Promise<void>
  /** A PNG of what is seen. */
  abstract screenshot(): Promise<Uint8Array>
  abstract resize(width: number, height: number): Promise<void>
  abstract close(): Promise<void>
  protected abstract clickShown(selector: string): Promise<void>
  protected abstract typeKeys(text: string): Promise<void>

  /** Waits until `script` returns something true, and returns it. `what` is for the error. */
  until<A extends Argument[], R>(what: string, script: (...args: A) => R | Promise<R>, ...args: A): Promise<Truthy<R>> {
    return this.#poll(what, () => this.evaluate(script, ...args))
  }

  async #poll<R>(what: string, probe: () => Promise<R>): Promise<Truthy<R>> {
    return poll(what, probe).catch(async (error) => {
      throw new Error(`${error.message} The page says: ${await this.text('body').catch(String)}`)
    })
  }

  /** Waits until `selector` is shown. */
  async sees(selector: string) {
    await this.until(
      `${selector} to be shown`,
      (selector) => document.querySelector(selector)?.checkVisibility({ visibilityProperty: true }),
      selector,
    )
  }

  /** Waits until `selector` is not shown, or not there. */
  async seesNo(selector: string) {
    await this.until(
      `${selector} to go`,
      (selector) => !document.querySelector(selector)?.checkVisibility({ visibilityProperty: true }),
      selector,
    )
  }

  async click(selector: string) {
    await this.sees(selector)
    await this.clickShown(selector)
  }

  /** Types into `selector`, or, without one, wherever the focus is. */
  async type(text: string, selector?: string) {
    if (selector) await this.click(selector)
    await this.typeKeys(text)
  }

  /** Puts `text` into the field as a paste of it would, whatever its length. */
  async fill(selector: string, text: string) {
    await this.sees(selector)
    await this.evaluate(
      (selector, text) => {
        const field = document.querySelector<HTMLInputElement>(selector)
        if (!field) return
        field.focus()
        field.value = text
        field.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: 'insertFromPaste' }))
      },
      selector,
      text,
    )
  }

  /** Chooses in a `<select>`. */
  async choose(selector: string, value: string) {
    await this.sees(selector)
    await this.evaluate(
      (selector, value) => {
        const field = document.querySelector<HTMLSelectElement>(selector)
        if (!field) return
        field.value = value
        field.dispatchEvent(new Event('input', { bubbles: true }))
        field.dispatchEvent(new Event('change', { bubbles: true }))
      },
      selector,
      value,
    )
  }

  /** What `selector` says now: a field's value, or the text that is seen. Empty where it is not shown. */
  text(selector: string): Promise<string> {
    return this.evaluate((selector) => {
      const element = document.querySelector<HTMLElement>(selector)
      if (!element?.checkVisibility({ visibilityProperty: true })) return ''
      if (element.matches('input, textarea, select')) return (element as HTMLInputElement).value
      // biome-ignore lint/performance/useDomNodeTextContent: what is hidden is not said
      return element.innerText.trim()
    }, selector)
  }

  /** Waits until what `selector` says matches, and returns it. */
  async says(selector: string, pattern: RegExp): Promise<string> {
    let said = ''
    await this.#poll(`${selector} to say ${pattern}`, async () => {
      said = await this.text(selector)
      return pattern.test(said)
    }).catch((error) => {
      throw new Error(`${error.message}\n${selector} says: ${said}`)
    })
    return said
  }
}

export interface Browser<P extends Page = Page> {
  /** The address of the extension's folder, with a slash at the end; empty where none was loaded. */
  readonly extension: string
  /** Opens `url` in a new tab. */
  open(url: string): Promise<P>
  closePages(): Promise<void>
  /** What is in the clipboard. */
  clipboard(): Promise<string>
  /** What went wrong in the pages since it was last asked: uncaught errors, violations of the content security policy. */
  problems(): Promise<string[]>
  close(): Promise<void>
}

export interface BrowserOptions {
  /** The folder of an unpacked extension. */
  extension?: string
}

/** The expression that calls `script` elsewhere. */
export const sourceOf = <A extends Argument[]>(script: (...args: A) => unknown, args: A) =>
  `(${script})(...${JSON.stringify(args)})`

/**
 * A browser by its name: the first of `programs` on this machine, unless the environment variable CHROMIUM or FIREFOX
 * names another. One that is missing is a failure on CI; elsewhere its tests are skipped, and their title says why.
 */
export function kind<B extends Browser>(
  name: 'chromium' | 'firefox',
  programs: string[],
  launch: (program: string, options: BrowserOptions) => Promise<B>,
) {
  const program = process.env[name.toUpperCase()] || programs.map((name) => Bun.which(name)).find(Boolean)
  const isSkipped = !program && process.env.CI !== 'true'
  const title = `in ${name[0]?.toUpperCase()}${name.slice(1)}${isSkipped ? ' (skipped: it is not installed)' : ''}`
  return {
    name,
    title,
    isSkipped,
    async launch(options: BrowserOptions = {}): Promise<B> {
      if (!program) throw new Error(`${name} is not installed`)
      return launch(program, options)
    },
  }
}

export type Kind<B extends Browser = Browser> = ReturnType<typeof kind<B>>
