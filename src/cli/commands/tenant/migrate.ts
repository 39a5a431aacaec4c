import { readFile, writeFile } from 'node:fs/promises'
import { describePlatform } from '../../../core/context.js'
import { AppError } from '../../../core/errors.js'
import { type FleetRequest, migrateFleet } from '../../../core/fleet/migrate-fleet.js'
import {
  planRollout,
  type RolloutPlan,
  type RolloutWish,
  sqlOf,
} from '../../../core/fleet/plan-rollout.js'
import { DEFAULT_TERMS, shortId } from '../../../core/fleet/rollout.js'
import type { RolloutOutcome } from '../../../core/fleet/run-rollout.js'
import type { TenantStatus } from '../../../core/tenants/tenant.js'
import { anyCaseId, collect, createCommand } from '../../command.js'
import { type OpenSession, type Runtime, withFleet } from '../../runtime.js'
import type { Terminal } from '../../terminal.js'
import { nothingText, planObject, planText } from './plan-text.js'
import {
  allFailures,
  duration,
  failureTable,
  RolloutView,
  summaryMarkdown,
  summaryObject,
} from './rollout-view.js'

/** Something is pending, and `--check` was to tell. */
const EXIT_PENDING = 3
const EXIT_FAILED = 1
const EXIT_INTERRUPTED = 130

type Options = {
  readonly tenants?: string
  readonly exclude?: string
  readonly fromFile?: string
  readonly plan?: readonly string[]
  readonly server?: readonly string[]
  readonly status?: readonly string[]
  readonly to?: string
  readonly rollback?: true
  readonly rollout?: string
  readonly step?: string
  readonly resume?: true
  readonly retryFailed?: true
  readonly dryRun?: true
  readonly check?: true
  readonly canary?: string
  readonly batchSize?: string
  readonly concurrency?: string
  readonly maxFailures?: string
  readonly summary?: string
  readonly yes?: true
}

export const tenantMigrate = (runtime: Runtime) =>
  createCommand({
    name: 'migrate',
    fields: { steps: '--step', slugs: 'slug' },
    about: 'bring the databases of all tenants, or of some, to the newest schema',
    examples: [
      ['tenant migrate', 'the whole fleet: a canary first, then in batches'],
      ['tenant migrate --check', 'exit 3 if something is pending, and change nothing'],
      ['tenant migrate --dry-run', 'what would be done, with the SQL'],
      ['tenant migrate acme globex', 'these two'],
      [
        'tenant migrate --plan enterprise --concurrency 8',
        'one plan, eight at once on each server',
      ],
      ['tenant migrate --resume', 'what an interrupted rollout has left'],
      ['tenant migrate --retry-failed', 'those that failed, once they are repaired'],
      ['tenant migrate --rollback', 'undo the last rollout, where it was applied; asks first'],
      [
        'tenant migrate --rollback --to 20261101-11-idempotency-keys',
        'take back every later migration, in all tenants',
      ],
      ['tenant migrate --json --summary summary.md', 'for CI: an event a line, and a page'],
    ],
  })
    .argument('[slug...]', 'tenants (default: all that are active or suspended)')
    .option('--tenants <slugs>', 'the same as a list with commas')
    .option('--from-file <path>', 'the same from a file, one on each line ("-" for stdin)')
    .option('--exclude <slugs>', 'all but these, a list with commas')
    .option('--plan <code>', 'only tenants on this plan; may be given again', collect)
    .option('--server <name>', 'only tenants on this database server; may be given again', collect)
    .option('--status <status>', 'only tenants in this status; may be given again', collect)
    .option('--to <migration>', 'no further than this migration; with --rollback, back to it')
    .option('--rollback', 'undo the last rollout: take its migrations back where it applied them')
    .option(
      '--rollout <id>',
      'with --rollback: undo this rollout instead of the last one',
      anyCaseId,
    )
    .option(
      '--step <n>',
      'with --rollback: take back the n newest migrations of the fleet, in every tenant that has them',
    )
    .option('--resume', 'continue the last rollout with the tenants it has not finished')
    .option('--retry-failed', 'go on with the last rollout: what failed in it')
    .option('--dry-run', 'print the plan with its SQL, and change nothing')
    .option('--check', 'exit 3 if something is pending, and change nothing')
    .option('--canary <n>', `tenants that go first, alone (default: ${DEFAULT_TERMS.canary})`)
    .option('--batch-size <n>', `tenants in a batch (default: ${DEFAULT_TERMS.batchSize})`)
    .option(
      '--concurrency <n>',
      `tenants at once on each server (default: ${DEFAULT_TERMS.concurrency})`,
    )
    .option(
      '--max-failures <n>',
      `begin no batch after more failures than this (default: ${DEFAULT_TERMS.maxFailures})`,
    )
    .option('--summary <path>', 'write a summary in Markdown to this file')
    .option('--yes', 'take migrations back without asking; the plan is still printed')
    .action(
      withFleet(runtime, async (session, slugs: string[], options: Options) => {
        const request = await requestOf(session, slugs, options)
        if (options.check || options.dryRun) {
          await showPlan(session, await planOnly(session, request), options)
          return
        }
        await migrate(session, request, options)
      }),
    )

async function migrate(
  { ctx, runtime, terminal, signal }: OpenSession,
  request: FleetRequest,
  options: Options,
): Promise<void> {
  // fail before the rollout, not after it, if the summary can't be written
  if (options.summary !== undefined) await writeSummary(options.summary, '')
  const platform = describePlatform(ctx)
  using view = new RolloutView(terminal)
  const { plan, outcome, rollout } = await migrateFleet(ctx, request, {
    terms: termsOf(options),
    confirm: async (plan) => {
      if (terminal.json)
        await terminal.result(JSON.stringify({ event: 'plan', platform, ...planObject(plan) }))
      else if (plan.direction === 'down') terminal.note(planText(plan))
      const asks = plan.direction === 'down' && plan.tasks.length > 0 && !options.yes
      if (asks && !(await terminal.confirm('Take them back?', '--yes'))) return false
      view.begin(plan)
      return true
    },
    report: view.report,
    signal,
  })
  await view.settled()
  const failures = allFailures(view.failures, outcome)
  if (options.summary !== undefined)
    await writeSummary(options.summary, summaryMarkdown(plan, outcome, failures))
  if (terminal.json)
    await terminal.record({ ...summaryObject(plan, outcome, failures), platform }, () => '')
  else if (!outcome && plan.tasks.length > 0) terminal.note('Nothing was done.')
  else if (!outcome && rollout)
    await terminal.result(`Rollout ${shortId(rollout.id)} is done: nothing is left to do.`)
  else if (!outcome) await terminal.result(nothingText(plan))
  else {
    if (failures.length > 0) await terminal.result(failureTable(failures, terminal.columns))
    const { left } = outcome
    await terminal.result(outcomeText(terminal, plan, outcome))
    if (failures.length > 0)
      terminal.remark('Repair what failed, then: validonx tenant migrate --retry-failed')
    if (left > 0) terminal.remark('For what is left: validonx tenant migrate --resume')
  }
  if (outcome?.status === 'interrupted') runtime.setExit(EXIT_INTERRUPTED)
  else if (outcome && outcome.status !== 'done') runtime.setExit(EXIT_FAILED)
}

function outcomeText(
  terminal: Terminal,
  { direction, leftAlone }: RolloutPlan,
  { status, done, failed, left, failedEarlier, durationMs, rolloutId }: RolloutOutcome,
): string {
  const counts = [
    `${done} done`,
    `${failed} failed`,
    ...(failedEarlier.length > 0 ? [`${failedEarlier.length} failed earlier`] : []),
    `${left} left`,
    `${leftAlone.length} ${direction === 'down' ? 'left alone' : 'up to date'}`,
    `in ${duration(durationMs / 1000)}`,
  ]
  return `${terminal.style(status === 'done' ? 'green' : 'yellow', status)}: ${counts.join(', ')}\nrollout ${rolloutId}`
}

async function writeSummary(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text)
  } catch (error) {
    throw new AppError('USAGE.INVALID', `The summary cannot be written to "${path}".`).because(
      error,
    )
  }
}

async function planOnly({ ctx }: OpenSession, request: FleetRequest): Promise<RolloutPlan> {
  if (request.kind !== 'new') {
    throw new AppError(
      'USAGE.INVALID',
      '--resume and --retry-failed do what was planned before, so they take neither --check nor --dry-run.',
    )
  }
  return planRollout(ctx, request.wish)
}

async function showPlan(
  { ctx, terminal, runtime }: OpenSession,
  plan: RolloutPlan,
  { check, dryRun }: Options,
): Promise<void> {
  const sql = dryRun ? await sqlOf(plan) : new Map<string, readonly string[]>()
  await terminal.record({ platform: describePlatform(ctx), ...planObject(plan, sql) }, () => {
    const lines = [planText(plan)]
    for (const [name, statements] of sql) {
      const shown = statements.map((statement) => `${dedented(statement)};`).join('\n')
      lines.push('', `-- ${name}`, shown)
    }
    return lines.join('\n')
  })
  if (plan.refused.length > 0) runtime.setExit(EXIT_FAILED)
  else if (check && plan.tasks.length > 0) runtime.setExit(EXIT_PENDING)
}

/** Without the indentation of the file that it was written in. */
function dedented(statement: string): string {
  const lines = statement.split('\n')
  const rest = lines.slice(1).filter((line) => line.trim() !== '')
  const depth = Math.min(...rest.map((line) => line.search(/\S/)))
  return lines.map((line, index) => (index === 0 ? line : line.slice(depth))).join('\n')
}

async function requestOf(
  session: OpenSession,
  slugs: readonly string[],
  options: Options,
): Promise<FleetRequest> {
  const named = [
    ...slugs,
    ...listOf(options.tenants),
    ...(await slugsFrom(session.runtime, options.fromFile)),
  ]
  const isAgain = options.resume === true || options.retryFailed === true
  const chooses =
    named.length > 0 ||
    options.fromFile !== undefined ||
    [options.exclude, options.plan, options.server, options.status, options.to].some(Boolean) ||
    [options.rollback, options.rollout, options.step].some(Boolean)
  if (isAgain && (chooses || (options.resume && options.retryFailed))) {
    throw new AppError(
      'USAGE.INVALID',
      '--resume and --retry-failed go on with the last rollout, so they take no choice of tenants or migrations.',
    )
  }
  if (options.resume) return { kind: 'resume' }
  if (options.retryFailed) return { kind: 'retry failed' }
  const given = [options.rollout, options.step, options.rollback && options.to]
  if (!options.rollback && given.some(Boolean))
    throw new AppError('USAGE.INVALID', '--step and --rollout need --rollback.')
  if (given.filter(Boolean).length > 1)
    throw new AppError('USAGE.INVALID', '--rollback takes one of --to, --rollout and --step.')
  if (options.fromFile !== undefined && named.length === 0)
    throw new AppError('USAGE.INVALID', `"${options.fromFile}" names no tenant.`)
  const wish: Record<string, unknown> = {
    ...(named.length > 0 ? { slugs: [...new Set(named)] } : {}),
    ...(options.exclude === undefined ? {} : { exclude: listOf(options.exclude) }),
    ...(options.plan ? { plans: options.plan } : {}),
    ...(options.server ? { servers: options.server } : {}),
    ...(options.status ? { statuses: options.status as TenantStatus[] } : {}),
    ...(options.to === undefined ? {} : { to: options.to }),
    ...(options.rollback ? { rollback: true } : {}),
    ...(options.rollout === undefined ? {} : { rollout: options.rollout }),
    ...(options.step === undefined ? {} : { steps: wholeOf('--step', options.step) }),
  }
  return { kind: 'new', wish: wish as RolloutWish }
}

const listOf = (text = ''): string[] =>
  text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')

async function slugsFrom(runtime: Runtime, path: string | undefined): Promise<string[]> {
  if (path === undefined) return []
  const text = path === '-' ? await allOf(runtime.stdin) : await readSlugs(path)
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
}

async function allOf(stream: Runtime['stdin']): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}

async function readSlugs(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new AppError('USAGE.INVALID', `"${path}" cannot be read.`).because(error)
  }
}

const termsOf = ({ canary, batchSize, concurrency, maxFailures }: Options) => ({
  ...(canary === undefined ? {} : { canary: wholeOf('--canary', canary) }),
  ...(batchSize === undefined ? {} : { batchSize: wholeOf('--batch-size', batchSize) }),
  ...(concurrency === undefined ? {} : { concurrency: wholeOf('--concurrency', concurrency) }),
  ...(maxFailures === undefined ? {} : { maxFailures: wholeOf('--max-failures', maxFailures) }),
})

function wholeOf(option: string, text: string): number {
  if (!/^\d{1,6}$/.test(text))
    throw new AppError('USAGE.INVALID', `${option} takes a whole number, not "${text}".`)
  return Number(text)
}
