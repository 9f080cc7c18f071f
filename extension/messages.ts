/** Every word that a person reads, in the language of the person: the same files in both homes. */
import en from './_locales/en/messages.json'
import { LANGUAGES, type Language, messagesPath } from './languages.ts'

export type MessageKey = keyof typeof en

/** English is at hand; another language is fetched when somebody reads it. */
let messages: Record<MessageKey, { message: string }> = en
let language: Language = 'en'

export const currentLanguage = () => language

/** As HTML and `Intl` name it. */
const languageTag = () => language.replace('_', '-')

/** What to tell about a reason that `api.ts` or the server gives; `detail` is the field at fault, or what makes the case special. */
export function problemKey(reason: string, detail?: string): MessageKey {
  const keys = [`error_${reason}_${detail}`, `error_${reason}`] as MessageKey[]
  return keys.find((key) => key in en) ?? 'error_internal'
}

/** Speaks the chosen language from now on, or without a choice the browser's: English where neither can be had. */
export async function speak(chosen: Language | undefined) {
  const wanted = chosen ?? languageOfBrowser() ?? 'en'
  try {
    messages = wanted === 'en' ? en : await (await fetch(messagesPath(wanted))).json()
    language = wanted
  } catch {
    // Offline: what was spoken before is still understood.
  }
}

function languageOfBrowser() {
  const known = Object.keys(LANGUAGES) as Language[]
  const primary = (tag: string) => tag.slice(0, 2).toLowerCase()
  const spoken = navigator.languages.map((tag) => known.find((language) => primary(language) === primary(tag)))
  return spoken.find((language) => language !== undefined)
}

/** The message in the current language, `$1` and so on filled in. */
export function message(key: MessageKey, ...args: (string | number)[]): string {
  return messages[key].message.replace(/\$(\d)/g, (_, place) => String(args[place - 1]))
}

/** Shows a message in `element`, and keeps showing it when the language changes. */
export function say(element: HTMLElement, key: MessageKey, ...args: (string | number)[]) {
  element.dataset.say = key
  element.dataset.with = JSON.stringify(args)
  element.textContent = message(key, ...args)
}

export function sayNothing(element: HTMLElement) {
  delete element.dataset.say
  element.textContent = ''
}

/** Says everything in the document again: `data-say` is an element's text, `data-label` its name, `data-hint` its placeholder. */
export function translate() {
  document.documentElement.lang = languageTag()
  for (const element of document.querySelectorAll<HTMLElement>('[data-say], [data-label], [data-hint]')) {
    const { say, with: args, label, hint } = element.dataset as Record<string, MessageKey | undefined>
    if (say) element.textContent = message(say, ...(JSON.parse(args ?? '[]') as string[]))
    if (label) element.setAttribute('aria-label', message(label))
    if (hint) element.setAttribute('placeholder', message(hint))
  }
  for (const option of document.querySelectorAll<HTMLOptionElement>('option[data-seconds]')) {
    option.textContent = duration(Number(option.value) * 1000)
  }
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** Seconds that count as nothing beside minutes: “30 days”, not 29, for what was written a moment ago. */
const SLACK = 5

/** A time, never longer than it is: its largest unit, and below ten of those the next, such as “1 hour 5 minutes”; at least one second. */
export function duration(milliseconds: number): string {
  let seconds = Math.max(1, Math.floor(milliseconds / 1000))
  if (seconds + SLACK >= 600) seconds = Math.floor((seconds + SLACK) / 60) * 60
  const parts: string[] = []
  for (const [unit, length] of UNITS) {
    const count = Math.floor(seconds / length)
    seconds %= length
    if (count > 0)
      parts.push(new Intl.NumberFormat(languageTag(), { style: 'unit', unit, unitDisplay: 'long' }).format(count))
    if (parts.length === 2 || count >= 10 || (count === 0 && parts.length > 0)) break
  }
  return parts.join(' ')
}

/** When something was: today the time alone. */
export function clockTime(milliseconds: number): string {
  const isToday = new Date(milliseconds).toDateString() === new Date().toDateString()
  return new Intl.DateTimeFormat(languageTag(), {
    ...(!isToday && { month: 'short', day: 'numeric' }),
    hour: 'numeric',
    minute: '2-digit',
  }).format(milliseconds)
}

const SIZES = [
  ['megabyte', 1_048_576, 1_000_000],
  ['kilobyte', 1024, 1000],
  ['byte', 1, 0],
] as const

export function fileSize(bytes: number): string {
  const [unit, length] = SIZES.find(([, , from]) => bytes >= from) ?? SIZES[2]
  return new Intl.NumberFormat(languageTag(), {
    style: 'unit',
    unit,
    unitDisplay: unit === 'byte' ? 'long' : 'short',
    maximumFractionDigits: bytes / length < 10 ? 1 : 0,
    roundingMode: 'ceil',
  }).format(bytes / length)
}

/** Offers every language in `choice`. */
export function offerLanguages(choice: HTMLSelectElement) {
  for (const [language, name] of Object.entries(LANGUAGES)) {
    const option = new Option(name, language)
    option.lang = language.replace('_', '-')
    choice.append(option)
  }
}
