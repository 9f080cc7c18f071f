/** Bytes as letters that an address, a header and JSON take as they are: base64url without padding. */

/** Bytes turned at once: the arguments of a call are limited. */
const CHUNK = 32_768

export function toBase64url(bytes: Uint8Array): string {
  let binary = ''
  for (let at = 0; at < bytes.length; at += CHUNK) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK))
  }
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

/** The bytes that `toBase64url` made `text` of. Throws where it made no such text: only one text stands for the same bytes. */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  if (/[^\w-]/.test(text)) throw new SyntaxError('This is not base64url')
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at)
  // In the last few letters are bits that stand for nothing.
  const last = bytes.subarray(bytes.length - (bytes.length % 3))
  if (!text.endsWith(toBase64url(last))) throw new SyntaxError('This is not base64url')
  return bytes
}
