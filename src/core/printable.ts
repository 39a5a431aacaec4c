/**
 * Characters that a terminal obeys or that make text look like other text: control characters (C0, DEL, C1),
 * format characters (direction, zero width), line and paragraph separators, halves of surrogate pairs.
 */
const STEERING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Line breaks and tabs, and the colors that our own text is styled with. */
const LAYOUT = new RegExp(`\\n|\\t|${String.fromCharCode(27)}\\[[\\d;]*m`)

/** One line of text from anywhere, safe to show: spells those characters out. */
export const printable = (text: string): string => text.replaceAll(STEERING, escaped)

/**
 * The same for text that is laid out and styled already. JSON stays the same value: in it such characters
 * stand only in strings, where the spelling is an escape.
 */
export const printableLayout = (text: string): string =>
  text.replaceAll(STEERING_OR_LAYOUT, (found) => (LAYOUT.test(found) ? found : escaped(found)))
const STEERING_OR_LAYOUT = new RegExp(`${LAYOUT.source}|${STEERING.source}`, 'gu')

/** `\u202e`; two of them for a character beyond U+FFFF. */
const escaped = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('')
