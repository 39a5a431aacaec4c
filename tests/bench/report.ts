import { cpus, totalmem } from 'node:os'
import Table from 'cli-table3'
import type { Spread } from './rounds.js'

/** One measured number. A ratio comes with the lowest and the highest of its rounds. */
export type Figure = {
  readonly scenario: string
  readonly what: string
  readonly unit: string
  readonly value: number
  readonly low?: number
  readonly high?: number
  readonly goal?: Goal
}

export type Goal = { readonly atMost: number } | { readonly atLeast: number }

/** What one bench answers. `skipped` says why there are no figures, or not all. */
export type Report = {
  readonly bench: string
  readonly engine: string
  readonly figures: readonly Figure[]
  readonly skipped?: string
}

/** What a bench gets from the command line. */
export type BenchOptions = {
  /** Few tenants and short rounds: shows that the bench works, and measures little. */
  readonly quick: boolean
  /** Aborted by Ctrl-C: the bench stops what it started and ends. */
  readonly signal: AbortSignal
  /** Tells people how far it is. */
  readonly note: (text: string) => void
}

export type Bench = (options: BenchOptions) => Promise<Report>

export const figure = (
  scenario: string,
  what: string,
  unit: string,
  value: number | Spread,
  goal?: Goal,
): Figure => {
  const measured =
    typeof value === 'number'
      ? { value }
      : { value: value.median, low: value.low, high: value.high }
  return { scenario, what, unit, ...measured, ...(goal === undefined ? {} : { goal }) }
}

export const isMet = ({ value, goal }: Figure): boolean | undefined => {
  if (goal === undefined) return undefined
  return 'atMost' in goal ? value <= goal.atMost : value >= goal.atLeast
}

export const describeMachine = (): string =>
  `Node ${process.versions.node}, ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GB`

/** The report as a table for people. */
export function toText({ bench, engine, figures, skipped }: Report): string {
  const table = new Table({
    head: ['scenario', 'what', 'value', 'rounds', 'goal', 'met'],
    style: { head: [], border: [] },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  })
  for (const each of figures) {
    const met = isMet(each)
    table.push([
      each.scenario,
      each.what,
      `${round(each.value)}${each.unit && ` ${each.unit}`}`,
      each.low === undefined || each.high === undefined
        ? ''
        : `${round(each.low)} to ${round(each.high)}`,
      describeGoal(each.goal),
      met === undefined ? '' : met ? 'yes' : 'NO',
    ])
  }
  return [
    `${bench}: ${engine}; ${describeMachine()}`,
    ...(figures.length > 0 ? [table.toString()] : []),
    ...(skipped === undefined ? [] : [`skipped: ${skipped}`]),
  ].join('\n')
}

/** The same for programs. */
export const toJson = (report: Report): object => ({
  ...report,
  machine: describeMachine(),
  figures: report.figures.map((each) => {
    const met = isMet(each)
    return met === undefined ? each : { ...each, met }
  }),
})

const describeGoal = (goal: Goal | undefined): string => {
  if (goal === undefined) return ''
  return 'atMost' in goal ? `<= ${goal.atMost}` : `>= ${goal.atLeast}`
}

const round = (value: number): string =>
  value >= 1000 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString()
