import { Command, Option } from 'commander'
import { type FieldNames, setFieldNames } from './field-names.js'

/** One example: what to type, and what it is for. */
export type Example = readonly [command: string, purpose: string]

type Shape = {
  readonly name: string
  readonly about: string
  readonly examples: readonly Example[]
  /** Whether it prints results; those that only do something have no `--json`. */
  readonly prints?: boolean
  /** Options by the fields of the verb's input that they set, if a field isn't called like its option. */
  readonly fields?: FieldNames
}

/** A command with what all of them share: `--json`, where the configuration comes from, and examples. */
export function createCommand({
  name,
  about,
  examples,
  prints = true,
  fields = {},
}: Shape): Command {
  const command = new Command(name).description(about).allowExcessArguments(false)
  setFieldNames(command, fields)
  if (prints) command.option('--json', 'print results as JSON, one object a line')
  return (
    command
      .addOption(new Option('--config <path>', 'read settings from this file instead of .env'))
      // the old name; Node.js 20 reads it as its own option in any position
      .addOption(new Option('--env-file <path>').hideHelp())
      .addOption(
        new Option(
          '--home <folder>',
          'folder of the embedded database server (default: the nearest .validonx)',
        ),
      )
      .addOption(
        new Option('--platform-database <name>', 'name of the platform database').hideHelp(),
      )
      .addOption(
        new Option('--tenant-prefix <prefix>', 'what tenant databases begin with').hideHelp(),
      )
      .addHelpText(
        'after',
        `\nExamples:\n${examples.map(([line, purpose]) => `  # ${purpose}\n  $ validonx ${line}`).join('\n')}\n`,
      )
  )
}

/** A noun: nothing but its verbs. Without one it shows what it has. */
export function createGroup(name: string, about: string, verbs: readonly Command[]): Command {
  const group = new Command(name).description(about)
  for (const verb of verbs) group.addCommand(verb)
  return group
}

/** An ID in either case (RFC 9562, section 4), as it is stored; also the end of one. Other text is kept. */
export const anyCaseId = (text: string): string =>
  /^[0-9a-f-]+$/i.test(text) ? text.toLowerCase() : text

/** An option that may be given more than once. */
export const collect = (value: string, previous: readonly string[] = []): string[] => [
  ...previous,
  value,
]
