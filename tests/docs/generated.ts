import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.js'
import { entries, settings } from '../../src/core/config.js'
import { actions } from '../../src/core/events/actions.js'
import { permissions, ROLES } from '../../src/core/identity/roles.js'
import { WEBHOOK_EVENTS } from '../../src/core/webhooks/webhook-endpoint.js'
import { tenantOperations } from '../../src/server/tenant/operations.js'
import { startBin } from '../support/process.js'

/** The block between a page's markers of that name. */
const blockOf = (name: string): RegExp =>
  new RegExp(`(<!-- ${name}:begin -->\\n)([\\s\\S]*?)(<!-- ${name}:end -->)`)

export const readBlock = (page: string, name: string): string => blockOf(name).exec(page)?.[2] ?? ''

export const writeBlock = (page: string, name: string, text: string): string =>
  page.replace(
    blockOf(name),
    (_, begin: string, __: string, end: string) => `${begin}${text}${end}`,
  )

/** What `npm run demo -- --once` shows, on a machine where everything is installed. */
export async function demoBlock(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'validonx-demo-'))
  const { output, ended } = startBin({ VALIDONX_HOME: home }, ['dev', 'demo', '--once'])
  const how = await ended
  await rm(home, { recursive: true, force: true })
  if (how !== 0) throw new Error(`the demo ended with ${how}: ${output.said}`)
  // at a terminal both streams arrive as one; the stages come between the command and its result
  const [command = '', ...rest] = output.out.split('\n')
  const [opening = '', ...stages] = output.said.trimEnd().split('\n')
  const lines = [opening, command, ...stages, ...rest].join('\n').trimEnd()
  return `\n\`\`\`console\n${lines}\n\`\`\`\n\n`
}

/** The same text for two runs of the same program: without what is random, and without times. */
export const withoutChance = (text: string): string =>
  text
    .replaceAll(/vx_[0-9A-Za-z]{39}/g, 'vx_…')
    .replaceAll(/[0-9A-Z]{4}(-[0-9A-Z]{4}){3}/g, 'XXXX-XXXX-XXXX-XXXX')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'uuid')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'time')
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:port')
    .replaceAll(/\d+ ms/g, '… ms')

/** Every command with what it does, from the program itself. */
export function commandsBlock(): string {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const program = createProgram({
    stdin,
    stdout,
    stderr,
    environment: {},
    folder: '/',
    setExit: () => {},
    onStop: () => () => {},
    onCrash: () => () => {},
  })
  const rows = program.commands.flatMap((command) => leaves(command, []))
  return `\n| command | does |\n| --- | --- |\n${rows.join('\n')}\n\n`
}

function leaves(command: Command, path: readonly string[]): string[] {
  const here = [...path, command.name()]
  if (command.commands.length > 0) return command.commands.flatMap((child) => leaves(child, here))
  const words = [...here, ...command.registeredArguments.map((argument) => `<${argument.name()}>`)]
  return [`| \`validonx ${words.join(' ')}\` | ${command.description()} |`]
}

/** docs/configuration.md's table, from the settings themselves. */
export function settingsBlock(): string {
  const rows = entries().map(([name, { variable, about, flag, secret }]) => {
    const preset = settings[name].schema.safeParse(undefined).data
    const shown =
      preset === undefined || (Array.isArray(preset) && preset.length === 0)
        ? ''
        : `\`${String(preset)}\``
    return `| \`${variable}\`${secret ? ' (or `_FILE`)' : ''} | ${shown} | ${flag ? `\`${flag}\`` : ''} | ${about} |`
  })
  return `\n| variable | default | option | what it is |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n\n`
}

/** docs/events.md's table: all that the trail tells of, and what of it goes to webhooks. */
export function eventsBlock(): string {
  const told: ReadonlySet<string> = new Set(WEBHOOK_EVENTS)
  const rows = Object.entries(actions).map(
    ([action, { object, plane, says }]) =>
      `| \`${action}\` | \`${object}\` | ${plane} | ${told.has(action) ? 'yes' : ''} | ${says} |`,
  )
  return `\n| action | object | written in | webhook | tells |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n\n`
}

/** docs/roles.md's table: who may do what, and which routes that opens. */
export function rolesBlock(): string {
  const rows = Object.entries(permissions).map(([permission, allowed]) => {
    const marks = ROLES.map((role) => ((allowed as readonly string[]).includes(role) ? 'yes' : ''))
    const routes = tenantOperations
      .filter((operation) => operation.permission === permission)
      .map(({ method, path }) => `\`${method.toUpperCase()} ${path}\``)
    return `| \`${permission}\` | ${marks.join(' | ')} | ${routes.join(', ')} |`
  })
  const titles = `| permission | ${ROLES.join(' | ')} | opens, below \`/v1/tenant\` |`
  return `\n${titles}\n|${' --- |'.repeat(ROLES.length + 2)}\n${rows.join('\n')}\n\n`
}
