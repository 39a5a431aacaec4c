import { setTimeout as sleep } from 'node:timers/promises'
import { describePlatform } from '../../../core/context.js'
import { AppError } from '../../../core/errors.js'
import { describeDrift, examineFleet } from '../../../core/fleet/examine-fleet.js'
import type { DriftGroup, FleetHealth, TenantHealth } from '../../../core/fleet/health.js'
import { mend, planMendings } from '../../../core/fleet/mend-fleet.js'
import { plural } from '../../../core/plural.js'
import { printable } from '../../../core/printable.js'
import { createCommand } from '../../command.js'
import { type OpenSession, type Runtime, withFleet } from '../../runtime.js'
import { formatFields } from '../../terminal.js'

const WATCH_EVERY_S = 10
const SHOWN = 50

type Options = {
  readonly all?: true
  readonly watch?: string | true
  readonly fix?: true
  readonly yes?: true
}

export const tenantHealth = (runtime: Runtime) =>
  createCommand({
    name: 'health',
    about: 'tell what is wrong with which tenant, and with the fleet as a whole',
    examples: [
      ['tenant health --all', 'the whole fleet; exit 1 where something is wrong'],
      ['tenant health acme', 'one tenant, with its size and its last request'],
      ['tenant health --all --watch 30', 'again every thirty seconds'],
      ['tenant health --all --fix', 'mend what can be mended safely: says what, and asks'],
      [
        "tenant health --all --json | jq -r '.tenants[] | select(.findings != []) | .tenant'",
        'the slugs of those who are not well',
      ],
    ],
  })
    .argument('[slug...]', 'tenants to look at')
    .option('--all', 'all tenants, and what belongs to none')
    .option('--watch [seconds]', `look again and again (default: every ${WATCH_EVERY_S} s)`)
    .option('--fix', 'mend what can be mended safely')
    .option('--yes', 'mend without asking')
    .action(
      withFleet(runtime, async (session, slugs: string[], options: Options) => {
        if (slugs.length === 0 && !options.all)
          throw new AppError('USAGE.INVALID', 'Name tenants, or say --all.')
        if (slugs.length > 0 && options.all)
          throw new AppError('USAGE.INVALID', 'Name tenants or say --all, not both.')
        if (options.watch !== undefined && options.fix)
          throw new AppError('USAGE.INVALID', '--watch only looks: it does not go with --fix.')
        const seconds = watchSeconds(options.watch)
        for (;;) {
          let health = await look(session, slugs)
          if (options.fix && !health.isHealthy) health = await fix(session, slugs, health, options)
          await show(session, health, slugs.length > 0)
          session.runtime.setExit(health.isHealthy ? 0 : 1)
          if (seconds === undefined) return
          await sleep(seconds * 1000, undefined, { signal: session.signal }).catch(() => {})
          if (session.signal.aborted) return
        }
      }),
    )

function watchSeconds(watch: string | true | undefined): number | undefined {
  if (watch === undefined) return undefined
  if (watch === true) return WATCH_EVERY_S
  if (!/^\d{1,5}$/.test(watch) || Number(watch) === 0)
    throw new AppError('USAGE.INVALID', `--watch takes a number of seconds, not "${watch}".`)
  return Number(watch)
}

const look = ({ ctx, terminal }: OpenSession, slugs: readonly string[]): Promise<FleetHealth> =>
  examineFleet(ctx, {
    ...(slugs.length > 0 ? { slugs } : {}),
    onProgress: (done, of) => {
      if (done % 20 === 0) terminal.live(`looking at tenants: ${done}/${of}`)
    },
  })

async function fix(
  session: OpenSession,
  slugs: readonly string[],
  health: FleetHealth,
  { yes }: Options,
): Promise<FleetHealth> {
  const { ctx, terminal } = session
  const mendings = planMendings(health)
  if (mendings.length === 0) {
    terminal.remark('None of this can be repaired without a person.')
    return health
  }
  for (const { says } of mendings) terminal.remark(`· ${says}`)
  if (
    !yes &&
    !(await terminal.confirm(
      mendings.length === 1 ? 'Do this?' : `Do these ${mendings.length} things?`,
      '--yes',
    ))
  )
    return health
  for (const mending of mendings) {
    if (session.signal.aborted) break
    const stillWrong = await mend(ctx, mending)
    terminal.remark(
      stillWrong === undefined
        ? `${terminal.style('green', '✓')} ${mending.done}`
        : `${terminal.style('red', '✗')} not repaired: ${mending.says}: ${printable(stillWrong)}`,
    )
  }
  return look(session, slugs)
}

async function show(
  { ctx, terminal }: OpenSession,
  health: FleetHealth,
  named: boolean,
): Promise<void> {
  const ill = health.tenants.filter(({ findings }) => findings.length > 0)
  await terminal.record({ platform: describePlatform(ctx), ...toObject(health) }, () => {
    const lines: string[] = []
    if (named) for (const tenant of health.tenants) lines.push(describe(tenant), '')
    for (const { slug, findings } of ill.slice(0, SHOWN)) {
      lines.push(terminal.style('red', slug))
      for (const { check, says, next } of findings)
        lines.push(`  ${check}: ${printable(says)}`, terminal.style('dim', `    ${next}`))
    }
    if (ill.length > SHOWN) lines.push(`and ${ill.length - SHOWN} more: see --json`)
    for (const { kind, says, next } of health.findings)
      lines.push(
        terminal.style(kind === 'not seen' ? 'yellow' : 'red', printable(says)),
        terminal.style('dim', `    ${next}`),
      )
    if (health.drift.length > 0)
      lines.push(`schemas: ${health.drift.map(describeGroup).join(', ')}`)
    const well = health.tenants.length - ill.length
    lines.push(
      health.isHealthy
        ? terminal.style('green', `${plural(well, 'tenant')}, all well.`)
        : `${well} of ${plural(health.tenants.length, 'tenant')} ${well === 1 ? 'is' : 'are'} well.`,
    )
    return lines.join('\n')
  })
}

const describe = ({ slug, status, lastRequestAt, size }: TenantHealth): string =>
  formatFields([
    ['tenant', slug],
    ['status', status],
    ['last request', lastRequestAt?.toISOString() ?? 'none yet'],
    ['size', size === undefined ? undefined : `${(size / 1_048_576).toFixed(1)} MB`],
  ])

/** "2,991 alike", "7 like this (missing index …)". */
function describeGroup({ differences, tenants }: DriftGroup): string {
  const count = tenants.length.toLocaleString('en')
  if (differences.length === 0) return `${count} alike`
  const [first] = differences
  const more = differences.length > 1 ? ` and ${differences.length - 1} more` : ''
  return `${count} with ${first ? describeDrift(first) : ''}${more}`
}

const toObject = (health: FleetHealth) => ({
  healthy: health.isHealthy,
  tenants: health.tenants.map(({ tenantId, slug, status, findings, lastRequestAt, size }) => ({
    id: tenantId,
    tenant: slug,
    status,
    findings: findings.map(({ check, says, next, remedy }) => ({
      check,
      says,
      next,
      remedy: remedy ?? null,
    })),
    last_request_at: lastRequestAt ?? null,
    size_bytes: size ?? null,
  })),
  drift: health.drift.map(({ differences, tenants }) => ({
    tenants: tenants.length,
    examples: tenants.slice(0, 5),
    differences: differences.map(({ object, before, after }) => ({
      object,
      template: before ?? null,
      tenant: after ?? null,
    })),
  })),
  findings: health.findings.map(({ kind, name, says, next, remedy }) => ({
    kind,
    name,
    says,
    next,
    remedy: remedy ?? null,
  })),
})
