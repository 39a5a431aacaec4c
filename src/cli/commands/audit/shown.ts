import type { AuditRecord } from '../../../core/audit/audit-record.js'
import { AppError } from '../../../core/errors.js'
import { printable } from '../../../core/printable.js'
import type { Column } from '../../terminal.js'

/** A row of the trail as `--json` prints it. */
export const auditJson = (record: AuditRecord) => ({
  sequence: record.sequence ?? null,
  event_id: record.eventId,
  occurred_at: record.occurredAt,
  tenant_id: record.tenantId,
  actor: { type: record.actorType, id: record.actorId, name: record.actorName },
  on_behalf_of: record.onBehalfOf,
  action: record.action,
  object: { type: record.objectType, id: record.objectId },
  outcome: record.outcome,
  request_id: record.requestId,
  address: record.address,
  user_agent: record.userAgent,
  changes: record.changes,
  schema_version: record.schemaVersion,
})

type Named = Column<AuditRecord> & {
  readonly width: number
  /** Where not all fit. */
  readonly narrow: number
  /** What it then says, where that is something else. */
  readonly narrowValue?: (record: AuditRecord) => string
  /** Whose end tells more than its beginning. */
  readonly keepsEnd?: true
}

/** What `--columns` may name. */
const COLUMNS: Readonly<Record<string, (slugs: ReadonlyMap<string, string>) => Named>> = {
  seq: () => ({
    title: 'seq',
    width: 7,
    narrow: 6,
    value: ({ sequence }) => String(sequence ?? '-'),
  }),
  time: () => ({
    title: 'time',
    width: 19,
    // the day stands on a line of its own
    narrow: 8,
    narrowValue: ({ occurredAt }) => occurredAt.slice(11, 19),
    value: ({ occurredAt }) => occurredAt.slice(0, 19).replace('T', ' '),
  }),
  tenant: (slugs) => ({
    title: 'tenant',
    width: 12,
    narrow: 10,
    value: ({ tenantId }) => (tenantId === null ? '-' : (slugs.get(tenantId) ?? tenantId)),
  }),
  actor: () => ({
    title: 'actor',
    width: 18,
    narrow: 10,
    value: ({ actorName, onBehalfOf }) =>
      onBehalfOf === null ? actorName : `${actorName} for ${onBehalfOf}`,
  }),
  action: () => ({ title: 'action', width: 31, narrow: 23, value: ({ action }) => action }),
  object: () => ({
    title: 'object',
    width: 36,
    narrow: 12,
    keepsEnd: true,
    value: ({ objectId }) => objectId,
  }),
  changes: () => ({
    title: 'changes',
    width: 60,
    narrow: 30,
    value: ({ changes }) => (changes === null ? '-' : JSON.stringify(changes)),
  }),
  address: () => ({
    title: 'address',
    width: 16,
    narrow: 15,
    value: ({ address }) => address ?? '-',
  }),
  request: () => ({
    title: 'request',
    width: 36,
    narrow: 12,
    keepsEnd: true,
    value: ({ requestId }) => requestId ?? '-',
  }),
}

export const COLUMN_NAMES: readonly string[] = Object.keys(COLUMNS)
export const DEFAULT_COLUMNS = 'seq,time,tenant,actor,action,object'

/** @throws USAGE.INVALID naming the columns that there are */
export function columnsNamed(list: string, slugs: ReadonlyMap<string, string>): readonly Named[] {
  return list.split(',').map((name) => {
    const column = COLUMNS[name.trim()]
    if (!column)
      throw new AppError(
        'USAGE.INVALID',
        `--columns "${name}" is not one of ${COLUMN_NAMES.join(', ')}.`,
      )
    return column(slugs)
  })
}

const GAP = '  '

/** Lines of columns that fit a terminal: where they are too wide together, each is narrower. */
export class Lines {
  readonly #columns: readonly Named[]
  readonly #isNarrow: boolean
  readonly #width: number

  constructor(columns: readonly Named[], width: number) {
    const whole = columns.reduce((sum, { width: own }) => sum + own + GAP.length, -GAP.length)
    this.#columns = columns
    this.#isNarrow = whole > width
    this.#width = width
  }

  /** Whether the time of the day alone has room. */
  get hasDays(): boolean {
    return this.#isNarrow && this.#columns.some(({ title }) => title === 'time')
  }

  head(): string {
    return this.#line(({ title }) => title.toUpperCase())
  }

  row(record: AuditRecord): string {
    return this.#line(({ value, narrowValue = value }) =>
      printable(this.#isNarrow ? narrowValue(record) : value(record)),
    )
  }

  #line(textOf: (column: Named) => string): string {
    const cells = this.#columns.map((column) => {
      const width = this.#isNarrow ? column.narrow : column.width
      const text = textOf(column)
      if (text.length <= width) return text.padEnd(width)
      return column.keepsEnd ? `…${text.slice(1 - width)}` : `${text.slice(0, width - 1)}…`
    })
    return cells.join(GAP).slice(0, this.#width).trimEnd()
  }
}
