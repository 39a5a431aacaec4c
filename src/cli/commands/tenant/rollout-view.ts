import type { RolloutPlan } from '../../../core/fleet/plan-rollout.js'
import type { RolloutTenant } from '../../../core/fleet/rollout.js'
import {
  type RolloutEvent,
  type RolloutOutcome,
  reasonOf,
} from '../../../core/fleet/run-rollout.js'
import { plural } from '../../../core/plural.js'
import { printable } from '../../../core/printable.js'
import { formatTable, type Terminal } from '../../terminal.js'

const REDRAW_EVERY_MS = 100
const BAR = 20
const EXAMPLES = 4

export type FailedTenant = { readonly tenant: string; readonly code: string; readonly why: string }

/**
 * What a person sees of a rollout while it runs: at a terminal a bar with the rate and the time that is
 * left, who is at work, and failures; in a pipe a line for each batch and each failure; with `--json`
 * one event a line.
 */
export class RolloutView implements Disposable {
  readonly failures: FailedTenant[] = []
  readonly #terminal: Terminal
  readonly #running = new Set<string>()
  readonly #timer: NodeJS.Timeout | undefined
  #total = 0
  #finished = 0
  #batch = ''
  #waiting = ''
  #startedAt = performance.now()
  #events: Promise<void> = Promise.resolve()

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    if (!terminal.isWatched) return
    this.#timer = setInterval(() => this.#draw(), REDRAW_EVERY_MS)
    this.#timer.unref()
  }

  begin(plan: RolloutPlan): void {
    this.#total = plan.tasks.length
    this.#startedAt = performance.now()
    for (const { tenant, error } of plan.refused) this.#fail(tenant.slug, error)
  }

  readonly report = (event: RolloutEvent): void => {
    this.#tell(event)
    switch (event.type) {
      case 'batch':
        this.#batch = `batch ${event.batch}/${event.of}`
        if (!this.#terminal.isWatched)
          this.#terminal.remark(`${this.#batch}: ${plural(event.tenants, 'tenant')}`)
        break
      case 'started':
        this.#running.add(event.tenant)
        break
      case 'retry':
        this.#waiting = `${event.tenant}: ${event.why}`
        if (!this.#terminal.isWatched) this.#terminal.remark(`  ${this.#waiting}`)
        break
      case 'done':
        this.#finished += 1
        this.#running.delete(event.tenant)
        break
      case 'failed':
        this.#finished += 1
        this.#running.delete(event.tenant)
        this.#fail(event.tenant, event.error)
        break
    }
  }

  /** Resolves when all events have left this process. */
  settled(): Promise<void> {
    return this.#events
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #fail(tenant: string, error: Parameters<typeof reasonOf>[0]): void {
    const failed = { tenant, code: error.code, why: reasonOf(error) }
    this.failures.push(failed)
    if (!this.#terminal.isWatched)
      this.#terminal.remark(`✗ ${tenant}: ${printable(failed.why)} [${failed.code}]`)
  }

  #tell(event: RolloutEvent): void {
    if (!this.#terminal.json) return
    const line = JSON.stringify(eventObject(event))
    this.#events = this.#events.then(() => this.#terminal.result(line))
    // the rollout goes on; `settled` throws it
    this.#events.catch(() => {})
  }

  #draw(): void {
    if (this.#total === 0) return
    const share = this.#finished / this.#total
    const seconds = (performance.now() - this.#startedAt) / 1000
    const rate = this.#finished / Math.max(seconds, 0.001)
    const left = rate > 0 ? (this.#total - this.#finished) / rate : undefined
    const bar = '█'.repeat(Math.round(share * BAR)).padEnd(BAR, '░')
    const running = [...this.#running]
    const failed = this.failures.map(({ tenant }) => tenant)
    const lines = [
      `${bar} ${this.#finished}/${this.#total} ${Math.floor(share * 100)} %  ${rate.toFixed(rate < 10 ? 1 : 0)}/s${left === undefined ? '' : `  ${duration(left)} left`}  ${this.#batch}`,
      `running  ${some(running)}`,
    ]
    if (failed.length > 0) lines.push(`failed   ${failed.length}: ${some(failed)}`)
    if (this.#waiting !== '') lines.push(`waiting  ${printable(this.#waiting)}`)
    this.#terminal.live(...lines)
  }
}

const some = (names: readonly string[]): string =>
  `${names.slice(0, EXAMPLES).join(', ')}${names.length > EXAMPLES ? ` and ${names.length - EXAMPLES} more` : ''}`

/** `75` → `1 min 15 s`. */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

function eventObject(event: RolloutEvent): unknown {
  const { type, ...rest } = event
  if (event.type === 'batch') return { event: type, ...rest }
  if (event.type === 'started' || event.type === 'retry') return { event: type, ...rest }
  const { tenant, durationMs } = event
  if (event.type === 'done')
    return { event: type, tenant, applied: event.applied, duration_ms: durationMs }
  const { code } = event.error
  return { event: type, tenant, code, error: reasonOf(event.error), duration_ms: durationMs }
}

export const failureTable = (failures: readonly FailedTenant[], columns: number): string =>
  formatTable(
    ['failed', 'why'],
    failures.map(({ tenant, why, code }) => {
      const room = Math.max(20, columns - Math.max(8, ...failures.map((f) => f.tenant.length)) - 4)
      return [tenant, wrapped(`${printable(why)} [${code}]`, room)]
    }),
    { keepLines: true },
  )

/** Broken between words, so that a table stays within the terminal. */
function wrapped(text: string, width: number): string {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines.join('\n')
}

/** Failures of this run, and those of earlier attempts at the same rollout. */
export const allFailures = (
  failures: readonly FailedTenant[],
  outcome: RolloutOutcome | undefined,
): FailedTenant[] => [...failures, ...(outcome?.failedEarlier ?? []).map(failedTenant)]

export const failedTenant = ({ slug, errorCode, error }: RolloutTenant): FailedTenant => ({
  tenant: slug,
  code: errorCode ?? '',
  why: error ?? '',
})

export const summaryObject = (
  plan: RolloutPlan,
  outcome: RolloutOutcome | undefined,
  failures: readonly FailedTenant[],
) => ({
  event: 'summary',
  rollout: outcome?.rolloutId ?? null,
  status: outcome?.status ?? (plan.tasks.length > 0 ? 'declined' : 'done'),
  direction: plan.direction,
  target: plan.target ?? null,
  undoes: plan.undoes?.id ?? null,
  done: outcome?.done ?? 0,
  failed: outcome?.failed ?? 0,
  left: outcome?.left ?? 0,
  failed_earlier: outcome?.failedEarlier.length ?? 0,
  up_to_date: plan.leftAlone.length,
  duration_ms: outcome?.durationMs ?? 0,
  failures,
})

/** For CI's page of a run. */
export function summaryMarkdown(
  plan: RolloutPlan,
  outcome: RolloutOutcome | undefined,
  failures: readonly FailedTenant[],
): string {
  const cell = (text: string) => printable(text).replaceAll('|', '\\|')
  return [
    `## Tenant migrations: ${outcome?.status ?? 'nothing to do'}`,
    '',
    `${plan.undoes ? `Undo of rollout \`${plan.undoes.id}\`` : `Target \`${plan.target}\`${plan.direction === 'down' ? ' (rollback)' : ''}`}${outcome ? `, rollout \`${outcome.rolloutId}\`` : ''}.`,
    '',
    `| done | failed | left | ${plan.direction === 'down' ? 'left alone' : 'up to date'} | seconds |`,
    '| ---: | ---: | ---: | ---: | ---: |',
    `| ${outcome?.done ?? 0} | ${outcome?.failed ?? 0} | ${outcome?.left ?? 0} | ${plan.leftAlone.length} | ${((outcome?.durationMs ?? 0) / 1000).toFixed(1)} |`,
    ...(failures.length === 0
      ? []
      : [
          '',
          '| failed | code | why |',
          '| --- | --- | --- |',
          ...failures.map(({ tenant, code, why }) => `| ${tenant} | \`${code}\` | ${cell(why)} |`),
          '',
          'Repair what is named, then run `validonx tenant migrate --retry-failed`.',
        ]),
    '',
  ].join('\n')
}
