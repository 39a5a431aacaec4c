import { randomBytes } from 'node:crypto'

export const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Crockford's base 32: no I, L, O or U, so that a person can read it aloud and type it back. */
export const CROCKFORD32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/**
 * Text of `length` characters, each drawn evenly from `alphabet`. Bytes past the last whole multiple
 * of the alphabet are thrown away: `byte % 62` would favour the first eight characters.
 */
export function randomText(alphabet: string, length: number): string {
  const limit = 256 - (256 % alphabet.length)
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < limit && text.length < length) text += alphabet[byte % alphabet.length]
    }
  }
  return text
}
