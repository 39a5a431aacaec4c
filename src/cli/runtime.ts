import { resolve } from 'node:path'
import type { Command } from 'commander'
import {
  type Config,
  type ConfigSources,
  type LoadedConfig,
  loadConfig,
  type Origin,
  type SettingName,
} from '../core/config.js'
import { type Context, describePlatform } from '../core/context.js'
import { nearestHome } from '../core/db/embedded-home.js'
import { AppError, asAppError } from '../core/errors.js'
import { createLog, type Log } from '../core/log.js'
import { printable } from '../core/printable.js'
import { describeError, scrub } from '../core/scrub.js'
import { detailsAtTerminal } from './field-names.js'
import { ReaderLeft, type Streams, Terminal } from './terminal.js'

/** What a program run has from outside. Tests pass their own. */
export type Runtime = Streams & {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where `.env` is looked for. */
  readonly folder: string
  setExit(status: number): void
  /** Calls back on the first SIGINT or SIGTERM; answers how to stop listening. */
  onStop(callback: (signal: NodeJS.Signals) => void): () => void
  /** Handles exceptions that nothing caught, until the returned function is called. */
  onCrash(handler: CrashHandler): () => void
}

/** What a process does with an exception that nothing caught. Afterwards it exits with 70. */
export type CrashHandler = {
  /** Called for each one. */
  report(error: unknown): void
  /** Called for the first one: finishes what is under way. */
  close(): Promise<void>
  /** The process exits after this time, even if `close` has not finished. */
  readonly withinSeconds: number
}

/** The options that every command has. */
export type CommonOptions = {
  readonly json?: true
  readonly home?: string
  readonly config?: string
  readonly envFile?: string
  readonly platformDatabase?: string
  readonly tenantPrefix?: string
}

/** What a command works with. */
export type Session = {
  readonly runtime: Runtime
  readonly terminal: Terminal
  readonly loaded: LoadedConfig
  readonly log: Log
  /** Aborted by the first Ctrl-C: finish what must be finished, and leave. */
  readonly signal: AbortSignal
}

export type OpenSession = Session & { readonly ctx: Context; readonly startedServer: boolean }

type Work<S, Args extends unknown[]> = (session: S, ...args: Args) => Promise<void>

/** For a command that must work also where the configuration is at fault. */
export const withTerminal = <Args extends unknown[]>(
  runtime: Runtime,
  work: Work<Pick<Session, 'runtime' | 'terminal' | 'signal'>, Args>,
) => caught<Args>(runtime, work)

/** A session: the configuration read, and no platform opened. */
export const withSession = <Args extends unknown[]>(runtime: Runtime, work: Work<Session, Args>) =>
  caught<Args>(runtime, async (bare, ...args) => {
    const loaded = located(runtime, loadConfig(sourcesOf(runtime, args.at(-1) as CommonOptions)))
    await work({ ...bare, loaded, log: logFor(runtime, bare.terminal) }, ...args)
  })

const located = (runtime: Runtime, loaded: LoadedConfig): LoadedConfig => ({
  ...loaded,
  config: { ...loaded.config, home: homeOf(runtime, loaded.config.home, loaded.origins.home) },
})

/** The embedded platform that a command works with: the one that is named, else the nearest from here upwards. */
export const homeOf = ({ folder }: Runtime, home: string, origin: Origin): string =>
  (origin === 'default' ? nearestHome(folder) : undefined) ?? resolve(folder, home)

/** The only catch in the CLI: turns any error into a line on stderr and an exit status. */
const caught =
  <Args extends unknown[]>(
    runtime: Runtime,
    work: Work<Pick<Session, 'runtime' | 'terminal' | 'signal'>, Args>,
  ) =>
  async (...given: [...Args, CommonOptions, Command]): Promise<void> => {
    const options = given.at(-2) as CommonOptions
    const args = given.slice(0, -1) as unknown as Args
    const terminal = new Terminal(runtime, {
      json: options.json === true,
      environment: runtime.environment,
    })
    const stopping = new AbortController()
    const stopListening = runtime.onStop(() => stopping.abort())
    try {
      refuseEmptyOptions(given.at(-1) as Command)
      await work({ runtime, terminal, signal: stopping.signal }, ...args)
    } catch (thrown) {
      tell(runtime, terminal, named(given.at(-1) as Command, thrown))
    } finally {
      stopListening()
    }
  }

/** @throws USAGE.INVALID for `--expires ""`, often an unset variable of a script */
function refuseEmptyOptions(command: Command): void {
  const given = command.opts()
  for (const option of command.options) {
    const values: unknown[] = [given[option.attributeName()]].flat()
    if (values.includes(''))
      throw new AppError(
        'USAGE.INVALID',
        `${option.long} is empty: give it a value, or leave it out.`,
      )
  }
}

/** The same with the platform opened for one command and closed after it. */
export const withContext = <Args extends unknown[]>(
  runtime: Runtime,
  work: Work<OpenSession, Args>,
) => withPlatform(runtime, work, false)

/** For a command that reads or changes the whole fleet: it says first which platform that is. */
export const withFleet = <Args extends unknown[]>(
  runtime: Runtime,
  work: Work<OpenSession, Args>,
) => withPlatform(runtime, work, true)

const withPlatform = <Args extends unknown[]>(
  runtime: Runtime,
  work: Work<OpenSession, Args>,
  isFleet: boolean,
) =>
  withSession<Args>(runtime, async (session, ...args) => {
    const { openPlatform } = await import('../core/platform/open-platform.js')
    const { ctx, startedServer } = await openPlatform(session.loaded.config, {
      role: 'operator',
      log: session.log,
      isProduction: session.loaded.isProduction,
      report: (step) => session.terminal.live(`${step} …`),
    })
    await using _ = ctx
    // which embedded one it is, follows from the current folder
    if (isFleet || ctx.access.embeddedHome !== undefined)
      session.terminal.platform(describePlatform(ctx), startedServer)
    try {
      await work({ ...session, ctx, startedServer }, ...args)
    } finally {
      await settle(session, ctx)
    }
  })

/** The command's own events go to the trail before it leaves; a server, or the next command, does it otherwise. */
async function settle({ log }: Session, ctx: Context): Promise<void> {
  try {
    const { settleTrail } = await import('../core/audit/trail-keeper.js')
    await settleTrail(ctx, ctx.touched.values())
  } catch (error) {
    log.warn('What was done is not on the audit trail yet: the next command takes it there.', {
      error,
    })
  }
}

/** Warnings of the core: one JSON object each with --json, and a sentence without a stack for a person. */
export function logFor(runtime: Runtime, terminal: Terminal): Log {
  if (terminal.json) return createLog('warn', (line) => runtime.stderr.write(line))
  const say = (message: string, { error, ...fields }: Readonly<Record<string, unknown>> = {}) => {
    const known = Object.entries(fields).map(([name, value]) => `${name} ${String(value)}`)
    const about = known.length === 0 ? '' : ` (${known.join(', ')})`
    terminal.note(`${terminal.style('yellow', 'warning:')} ${scrub(`${message}${about}`)}`)
    const because = error === undefined ? undefined : sentenceOf(error)
    if (because) terminal.note(`  because: ${because}`)
  }
  return { debug: () => {}, info: () => {}, warn: say, error: say }
}

export type { Config }

/** Where a command's settings come from. */
export function sourcesOf(runtime: Runtime, options: CommonOptions): ConfigSources {
  const file = options.config ?? options.envFile
  return {
    environment: runtime.environment,
    options: optionsByName(options),
    envFile: file ?? `${runtime.folder}/.env`,
    envFileRequired: file !== undefined,
  }
}

function optionsByName(options: CommonOptions): { [Name in SettingName]?: string | undefined } {
  const settings = options as Record<string, unknown>
  const named = ['home', 'platformDatabase', 'tenantPrefix', 'host', 'port'] as const
  return Object.fromEntries(named.map((name) => [name, settings[name] as string | undefined]))
}

/** Gives the fields of a refused input the names that they have on this command line. */
function named(command: Command, thrown: unknown): unknown {
  // Ctrl-C in a prompt, or a reader that has left, is no error
  if (isLeft(thrown) || thrown instanceof ReaderLeft) return thrown
  const failure = asAppError(thrown)
  if (failure.code === 'VALIDATION.FAILED')
    failure.details = detailsAtTerminal(command, failure.details)
  return failure
}

/** Prints an error to stderr and sets the exit status. */
export function tell(runtime: Runtime, terminal: Terminal, thrown: unknown): void {
  if (isLeft(thrown)) {
    terminal.note('Nothing was done.')
    runtime.setExit(130)
    return
  }
  // what a shell says of a program that a closed pipe ended
  if (thrown instanceof ReaderLeft) {
    runtime.setExit(141)
    return
  }
  const failure = asAppError(thrown)
  runtime.setExit(failure.exit)
  if (terminal.json) {
    const { code, message, cliHint: hint } = failure
    const because = reasonOf(failure)
    const details = because === undefined ? failure.details : { ...failure.details, because }
    terminal.note(JSON.stringify({ error: { code, message, hint, details } }))
    return
  }
  terminal.note(
    `${terminal.style('red', printableLines(failure.message))} ${terminal.style('dim', `[${failure.code}]`)}`,
  )
  if (failure.code === 'VALIDATION.FAILED') {
    for (const [field, messages] of Object.entries(failure.details))
      terminal.note(`  ${field}${field && ': '}${(messages as string[]).join('; ')}`)
  }
  if (failure.cliHint) terminal.note(`  ${failure.cliHint}`)
  const because = reasonOf(failure)
  if (because) terminal.note(`  because: ${printableLines(because)}`)
}

/** A message may quote what anybody typed. */
const printableLines = (text: string): string => text.split('\n').map(printable).join('\n')

/** What an operator may be told of the cause: a driver's own words quote statements, so never those. */
const reasonOf = ({ cause }: AppError): string | undefined =>
  cause === undefined ? undefined : sentenceOf(cause)

function sentenceOf(cause: unknown): string | undefined {
  const { message, errno, cause: deeper } = describeError(cause)
  const own = String(message ?? '')
  const sentence = own || String((deeper as { message?: unknown } | undefined)?.message ?? '')
  return sentence
    ? scrub(errno === undefined ? sentence : `${sentence} (${String(errno)})`)
    : undefined
}

/** Ctrl-C in a prompt. */
const isLeft = (thrown: unknown): boolean =>
  thrown instanceof Error && thrown.name === 'ExitPromptError'
