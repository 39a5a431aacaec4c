import { lstatSync, readFileSync } from 'node:fs'

/** Text that was read, or why it could not be. */
export type ReadText = { readonly text: string } | { readonly fault: string }

type ReadBytes = { readonly bytes: Buffer } | { readonly fault: string }

/** Reads a file, or returns undefined if there is none. A link that leads nowhere is a fault. */
export function readFileBytes(path: string): ReadBytes | undefined {
  try {
    return { bytes: readFileSync(path) }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !isLink(path)) return undefined
    return { fault: code === 'EISDIR' ? 'is a folder' : `cannot be read (${code})` }
  }
}

/** Reads a UTF-8 file without its byte-order mark, or returns undefined if there is no such file. */
export function readTextFile(path: string): ReadText | undefined {
  const read = readFileBytes(path)
  if (!read || 'fault' in read) return read
  const { bytes } = read
  if (/^(fffe|feff)/.test(bytes.toString('hex', 0, 2)) || bytes.includes(0))
    return { fault: 'is UTF-16 or holds NUL bytes: save it as UTF-8 text' }
  try {
    // the decoder drops a byte-order mark
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { fault: 'is not UTF-8 text: save it as UTF-8' }
  }
}

export type EnvFile = {
  readonly values: Readonly<Record<string, string>>
  readonly faults: readonly string[]
}

/**
 * Reads `NAME=value` lines as `node --env-file` does. Lines that name one of our variables are read
 * strictly, because a setting that is lost in silence can mean work on the wrong database. Other
 * programs' lines are skipped if they can't be read.
 */
export function parseEnvFile(text: string): EnvFile {
  const values: Record<string, string> = {}
  const lineOf: Record<string, number> = {}
  const faults: string[] = []
  const lines = text.split(/\r\n|\n|\r/)

  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? ''
    const at = `line ${index + 1}`
    if (/^\s*(#|$)/.test(line)) continue
    const [, name = line, rest] = /^\s*(?:export\s+)?([^=]*?)\s*=(.*)$/.exec(line) ?? []
    if (rest === undefined || !/^[A-Za-z_][\w.-]*$/.test(name)) {
      if (mentionsOurs(name))
        faults.push(`${at} is not NAME=value, or its name has a stray character`)
      continue
    }
    const { value, span, fault } = readValue(rest, lines.slice(index + 1))
    if (fault && isOurs(name)) faults.push(`${at} ${fault}`)
    if (lines.slice(index + 1, index + 1 + span).some(mentionsOurs))
      faults.push(`${at} opens a quote that is closed only after another setting`)
    if (isOurs(name) && (values[name] ?? value) !== value)
      faults.push(`lines ${lineOf[name]} and ${index + 1} give ${name} different values`)
    values[name] = value
    lineOf[name] = index + 1
    index += span
  }
  return { values, faults }
}

type Value = { readonly value: string; readonly span: number; readonly fault?: string }

/** The value that begins after `=`, and how many of the following lines it takes. */
function readValue(written: string, following: readonly string[]): Value {
  const rest = written.trimStart()
  const [quote] = /^["'`]/.exec(rest) ?? []
  if (!quote) {
    const value = rest.replace(/#.*$/, '').trim()
    return /^[^#]*[^\s#]#/.test(`=${written}`)
      ? { value, span: 0, fault: 'has a "#" in a value without quotes: put the value in quotes' }
      : { value, span: 0 }
  }
  const text = [rest, ...following].join('\n')
  const end = text.indexOf(quote, 1)
  if (end < 0) return { value: rest, span: 0, fault: 'opens a quote that is never closed' }
  const quoted = text.slice(1, end)
  const [after = ''] = text.slice(end + 1).split('\n')
  return {
    value: quote === '"' ? quoted.replaceAll('\\n', '\n') : quoted,
    span: quoted.split('\n').length - 1,
    ...(/^\s*(#.*)?$/.test(after) ? {} : { fault: 'goes on after the closing quote' }),
  }
}

/** Whether a name is meant for us, even if an invisible character or another case disguises it. */
export const isOurs = (name: string): boolean => /^VALIDONX_/i.test(visible(name))

const mentionsOurs = (line: string): boolean => /VALIDONX_/i.test(visible(line))

const visible = (text: string): string => text.replace(/[\p{C}\p{Z}\p{M}]/gu, '')

const isLink = (path: string): boolean =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
