import type { AuditRecord } from '../../../core/audit/audit-record.js'
import { AppError } from '../../../core/errors.js'
import { instantSchema, parse } from '../../../core/parse.js'
import { readDuration } from '../../durations.js'
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

type Named = Column<AuditRecord> & { readonly width: number }

/** What `--columns` may name. */
const COLUMNS: Readonly<Record<string, (slugs: ReadonlyMap<string, string>) => Named>> = {
  seq: () => ({ title: 'seq', width: 7, value: ({ sequence }) => String(sequence ?? '-') }),
  time: () => ({
    title: 'time',
    width: 19,
    value: ({ occurredAt }) => occurredAt.slice(0, 19).replace('T', ' '),
  }),
  tenant: (slugs) => ({
    title: 'tenant',
    width: 12,
    value: ({ tenantId }) => (tenantId === null ? '-' : (slugs.get(tenantId) ?? tenantId)),
  }),
  actor: () => ({ title: 'actor', width: 18, value: ({ actorName }) => actorName }),
  action: () => ({ title: 'action', width: 22, value: ({ action }) => action }),
  object: () => ({
    title: 'object',
    width: 36,
    value: ({ objectType, objectId }) => `${objectType} ${objectId}`,
  }),
  changes: () => ({
    title: 'changes',
    width: 60,
    value: ({ changes }) => (changes === null ? '-' : JSON.stringify(changes)),
  }),
  address: () => ({ title: 'address', width: 16, value: ({ address }) => address ?? '-' }),
  request: () => ({ title: 'request', width: 36, value: ({ requestId }) => requestId ?? '-' }),
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
        `"${name}" is no column. Choose among ${COLUMN_NAMES.join(', ')}.`,
      )
    return column(slugs)
  })
}

/** `15m` ago, or a time. @throws USAGE.INVALID, VALIDATION.FAILED */
export const readSince = (text: string, now: Date): Date =>
  /^\d+[smhd]$/.test(text)
    ? new Date(now.getTime() - readDuration(text, '--since') * 1000)
    : parse(instantSchema, text)
