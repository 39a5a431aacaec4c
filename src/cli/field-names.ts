import type { Command } from 'commander'

/** Names of input fields that a command's options or arguments stand for, where their own names differ. */
export type FieldNames = Readonly<Record<string, string>>

const OWN_NAMES = new WeakMap<Command, FieldNames>()

export const setFieldNames = (command: Command, names: FieldNames): void => {
  OWN_NAMES.set(command, names)
}

/**
 * Returns what a field of a verb's input is called at the terminal: `--owner-email` for `ownerEmail`,
 * `--scope` for `scopes.1`; an argument keeps its name. A fault of the input as a whole has no name.
 */
export function nameAtTerminal(command: Command, field: string): string {
  if (field === 'body' || field === '') return ''
  const own = OWN_NAMES.get(command) ?? {}
  const path = field.split('.').filter((part) => !/^\d+$/.test(part))
  // the most specific name first: "rateLimit.requests", then "requests", then "rateLimit"
  const candidates = [path.join('.'), ...path.toReversed()]
  for (const candidate of candidates) {
    const found = own[candidate] ?? optionFor(command, camel(candidate))
    if (found !== undefined) return found
  }
  return field
}

/** Returns the details of a refused input under the names of the terminal. One option may set several fields. */
export function detailsAtTerminal(
  command: Command,
  details: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const named: Record<string, unknown[]> = {}
  for (const [field, messages] of Object.entries(details)) {
    const name = nameAtTerminal(command, field)
    // the database refused a character, and can't say in which value
    const foreign = name === 'value' ? notAscii(command) : []
    for (const each of foreign.length > 0 ? foreign : [name])
      named[each] = [...new Set([...(named[each] ?? []), ...[messages].flat()])]
  }
  return named
}

/** The options and arguments that were given anything but plain ASCII. */
function notAscii(command: Command): string[] {
  const isForeign = (value: unknown): boolean =>
    Array.isArray(value) ? value.some(isForeign) : /[^\x20-\x7e]/.test(String(value ?? ''))
  const options = command.options.filter((each) => isForeign(command.opts()[each.attributeName()]))
  const args = command.registeredArguments.filter((each, index) =>
    isForeign(each.variadic ? command.args.slice(index) : command.args[index]),
  )
  return [...args.map((each) => each.name()), ...options.map(({ long }) => long ?? '')]
}

function optionFor(command: Command, name: string): string | undefined {
  // an option may already be named, by a reader of options
  if (name.startsWith('--')) return name
  const options = new Map(command.options.map((each) => [each.attributeName(), each.long]))
  const args = new Set(command.registeredArguments.map((each) => each.name()))
  const singular = [/s$/, /es$/, /ies$/].map((plural) =>
    name.replace(plural, plural.source === 'ies$' ? 'y' : ''),
  )
  for (const form of [name, ...singular, ...(ALIASES[name] ?? [])]) {
    const option = options.get(form)
    if (option) return option
    if (args.has(form)) return form
  }
  return undefined
}

/** What fields of many verbs are called at the terminal. */
const ALIASES: Readonly<Record<string, readonly string[]>> = { slug: ['tenant'], user: ['email'] }

const camel = (name: string): string =>
  name.startsWith('-') ? name : name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase())
