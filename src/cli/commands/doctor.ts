import { type Config, inspectConfig } from '../../core/config.js'
import { describePlatform } from '../../core/context.js'
import { asAppError } from '../../core/errors.js'
import type { Examined } from '../../core/platform/examine-installation.js'
import { printable } from '../../core/printable.js'
import { createCommand } from '../command.js'
import {
  type CommonOptions,
  homeOf,
  logFor,
  type Runtime,
  sourcesOf,
  withTerminal,
} from '../runtime.js'
import type { Terminal } from '../terminal.js'

const MARKS = { ok: '✓', warning: '!', fault: '✗' } as const
const COLORS = { ok: 'green', warning: 'yellow', fault: 'red' } as const

export const doctor = (runtime: Runtime) =>
  createCommand({
    name: 'doctor',
    about: 'look at the installation: settings, logins, database servers, and what they lack',
    examples: [
      ['doctor', 'each finding with its remedy; exit 1 where something is at fault'],
      ['doctor --json | jq \'select(.state != "ok")\'', 'what is not well'],
    ],
  }).action(
    withTerminal(runtime, async ({ terminal }, options: CommonOptions) => {
      const found = [node(), ...(await examine(runtime, options, terminal))]
      await show(terminal, found)
      if (found.some(({ state }) => state === 'fault')) runtime.setExit(1)
    }),
  )

async function examine(
  runtime: Runtime,
  options: CommonOptions,
  terminal: Terminal,
): Promise<Examined[]> {
  const { values, origins, faults, isProduction } = inspectConfig(sourcesOf(runtime, options))
  if (faults.length > 0)
    return faults.map((fault) => ({
      area: 'settings',
      state: 'fault',
      says: fault,
      next: 'validonx config shows where each setting comes from',
    }))
  // without a fault every setting is there
  const read = values as Config
  const config = { ...read, home: homeOf(runtime, read.home, origins.home) }
  const settings: Examined = { area: 'settings', state: 'ok', says: 'every setting can be read' }
  const log = logFor(runtime, terminal)
  const open = { role: 'operator', log, isProduction, makesEmbedded: false } as const
  const { openForInit, openPlatform } = await import('../../core/platform/open-platform.js')
  const { examineInstallation } = await import('../../core/platform/examine-installation.js')
  const platform = await openPlatform(config, {
    ...open,
    report: (step) => terminal.live(`${step} …`),
  })
    .then(async ({ ctx }): Promise<Examined> => {
      await ctx[Symbol.asyncDispose]()
      return {
        area: 'platform',
        state: 'ok',
        says: `${describePlatform(ctx)} is there, and waits for no migration`,
      }
    })
    .catch((thrown: unknown): Examined => {
      const { message, code } = asAppError(thrown)
      return {
        area: 'platform',
        state: 'fault',
        says: `${message} [${code}]`,
        next: 'fix this, then run "validonx doctor" again',
      }
    })
  try {
    const { ctx } = await openForInit(config, open)
    await using _ = ctx
    return [settings, platform, ...(await examineInstallation(ctx))]
  } catch (thrown) {
    const { message, code } = asAppError(thrown)
    const whole: Examined = {
      area: 'database',
      state: 'fault',
      says: `${message} [${code}]`,
      next: 'fix this, then run "validonx doctor" again',
    }
    return platform.says.startsWith(message) ? [settings, platform] : [settings, platform, whole]
  }
}

const node = (): Examined => ({
  area: 'machine',
  state: 'ok',
  says: `Node.js ${process.versions.node}`,
})

async function show(terminal: Terminal, found: readonly Examined[]): Promise<void> {
  if (terminal.json) {
    await terminal.result(
      found.map((each) => JSON.stringify({ ...each, next: each.next ?? null })).join('\n'),
    )
    return
  }
  const lines: string[] = []
  let area = ''
  for (const each of found) {
    if (each.area !== area) lines.push(terminal.style('bold', each.area))
    area = each.area
    lines.push(`  ${terminal.style(COLORS[each.state], MARKS[each.state])} ${printable(each.says)}`)
    if (each.next !== undefined) lines.push(`    ${terminal.style('dim', `→ ${each.next}`)}`)
  }
  await terminal.result(lines.join('\n'))
  const count = (state: Examined['state']) => {
    const number = found.filter((each) => each.state === state).length
    return `${number} ${state}${number === 1 ? '' : 's'}`
  }
  terminal.remark(`${count('fault')}, ${count('warning')}.`)
}
