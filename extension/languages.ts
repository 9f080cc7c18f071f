/** The languages of the clients, by their folders in `_locales`, each in its own words. */
export const LANGUAGES = {
  en: 'English',
  ko: '한국어',
  ja: '日本語',
  zh_CN: '简体中文',
}

export type Language = keyof typeof LANGUAGES

export const messagesPath = (language: string) => `/_locales/${language}/messages.json`
