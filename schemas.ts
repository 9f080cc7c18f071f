/** The fields that several routes share. One that breaks its schema is answered with its description. */
import { Type as t } from '@sinclair/typebox'
import { MAX_PASSWORD_BYTES } from './password.ts'
import type { Settings } from './settings.ts'

/** Of these fields and no others. */
export const fields = <T extends Parameters<typeof t.Object>[0]>(properties: T) =>
  t.Object(properties, { additionalProperties: false })

/** A field that may be left out. */
export const flag = (what: string) => t.Optional(t.Boolean({ description: `Must be true or false: ${what}.` }))

export const code = t.String({
  pattern: '^\\s*[A-Za-z]{4}\\s*$',
  description: 'Must be four letters, a–z or A–Z. White space around them is ignored.',
})

export const password = t.String({
  minLength: 1,
  maxLength: MAX_PASSWORD_BYTES,
  description: `Must be 1 to ${MAX_PASSWORD_BYTES} bytes of UTF-8. Compared after NFC normalization.`,
})

/** 32 bytes of X25519, in base64url. */
const KEY = '[A-Za-z0-9_-]{43}'

export const seal = t.String({
  pattern: `^1\\.(argon2id\\.m=[1-9][0-9]{0,9},t=[1-9][0-9]{0,9},p=[1-9][0-9]{0,9}\\.[A-Za-z0-9_-]{22}|hpke\\.${KEY})$`,
  description:
    'Must name how the text was sealed before it was sent. Such as 1.argon2id.m=65536,t=3,p=1.SALT: `password` is then 32 bytes in base64url that were derived from the password. Or 1.hpke.KEY: `text` was then sealed to the key of whoever waits under `to`. Either way `text` is base64url.',
})

export const publicKey = t.String({
  pattern: `^${KEY}$`,
  description: 'Must be an X25519 public key, 32 bytes in base64url: whoever writes seals the text to it.',
})

export const receiveToken = t.String({ maxLength: 256, description: 'Must be what taking the code gave.' })

export const eraseToken = t.String({ maxLength: 256, description: 'Must be what writing gave.' })

export const expiresAt = t.String({ format: 'date-time', description: 'When the text is gone: ISO 8601, UTC.' })

export const text = ({ MAX_TEXT_BYTES }: Settings) =>
  t.String({
    minLength: 1,
    description: `Must be well-formed Unicode, 1 character to ${MAX_TEXT_BYTES} bytes of UTF-8.`,
  })

export const expiresIn = ({ DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS }: Settings) =>
  t.Integer({
    minimum: 60,
    maximum: MAX_EXPIRY_SECONDS,
    description: `Must be whole seconds from 60 to ${MAX_EXPIRY_SECONDS}. Without it: ${DEFAULT_EXPIRY_SECONDS}.`,
  })
