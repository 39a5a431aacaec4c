import { createRequire } from 'node:module'

/** The well-known list, as its package holds it. */
export const NAUGHTY: readonly string[] = createRequire(import.meta.url)(
  'big-list-of-naughty-strings',
) as string[]

/** What that list lacks: what goes wrong in encodings, drivers, collations, JSON and objects. */
export const OURS: readonly string[] = [
  // ends of text, and text that is not all text
  '\u0000',
  'a\u0000b',
  'ends\u0000',
  '\u0001\u001f\u007f\u0080\u009f',
  '\ud800',
  '\udfff',
  'half \ud83d of a pair',
  '\udc00\ud800',
  '\ufeffmarked',
  '\ufffe\uffff',
  '\ufffd',
  '\u{10ffff}',
  // the same to some collation or normal form
  'seat',
  'seat ',
  'seat  ',
  'SEAT',
  's\u0435at',
  'sea\u0301t',
  'se\u00e1t',
  '\u017feat',
  'stra\u00dfe',
  'strasse',
  // lengths around the limits: 64, 100, 190, 255, and what no column holds
  'k'.repeat(65),
  'c'.repeat(101),
  'n'.repeat(190),
  'n'.repeat(191),
  '\u{1f512}'.repeat(95),
  '\u{1f512}'.repeat(96),
  'i'.repeat(255),
  'i'.repeat(256),
  '\u0301'.repeat(5_000),
  'x'.repeat(70_000),
  // SQL
  "' or '1'='1' -- ",
  "'; drop table licenses; -- ",
  "\\'; delete from activations; #",
  '" union select license_key from licenses -- ',
  "1') or sleep(0)=0 -- ",
  '`id`',
  '?',
  '??',
  ':license_key',
  '%_%',
  '\u00bf\u0027 or 1=1',
  // JSON
  '{"$date":"2020-01-01T00:00:00.000Z"}',
  '","valid":true,"x":"',
  '\\u0000',
  '[[[[',
  // names that objects have already
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  // direction
  '\u202egnp.exe',
  '\u2066\u2067\u2068\u2069',
  // numbers
  '9'.repeat(400),
  '1e400',
  '-0',
  '18446744073709551616',
  // lines and paths
  'a\r\nSet-Cookie: a=b',
  '..',
  '../../etc/passwd',
  '%2e%2e%2f',
  '%',
  '%00',
  '%c0%ae',
  '{{7*7}}<%= 7*7 %>#{7*7}',
]

export const HOSTILE: readonly string[] = [...NAUGHTY, ...OURS]

/** What an answer must not tell: statements, the driver's words, stacks, places in the file system. */
const LEAKS: readonly RegExp[] = [
  /\b(?:select|insert into|update|delete from|alter table|create table|drop table)\b[^.]*\b(?:from|set|values|where|into|licenses|activations|usage_\w+|idempotency_keys|tenants|api_keys)\b/i,
  /\bER_[A-Z_]{3,}|\bE(?:CONN|PIPE|NOENT)[A-Z]*|\b(?:errno|sqlState|sqlMessage)\b/,
  /\b(?:mysql|mariadb|knex|innodb)\b/i,
  /\bvx[pt]_x\w+/,
  /(?:^|\\n|\n)\s*at .+[:(]/,
  /node_modules|node:internal|file:\/\/|\/work\/|\/home\/|\/tmp\/|\/src\/|\.[cm]?[jt]s:\d+/,
  /\b(?:TypeError|RangeError|SyntaxError|ReferenceError)\b/,
]

/** What an answer gives away, apart from the caller's own text said back. */
export function leaksOf(answer: string, sent: string): string[] {
  const said = JSON.stringify(sent).slice(1, -1)
  const rest = said === '' ? answer : answer.replaceAll(said, '').replaceAll(sent, '')
  return LEAKS.flatMap((form) => form.exec(rest)?.[0] ?? [])
}
