import { makeAnchor } from '../../../core/audit/anchor.js'
import { readAuditKey } from '../../../core/audit/audit-key.js'
import type { AuditRecord } from '../../../core/audit/audit-record.js'
import { followAudit } from '../../../core/audit/follow-audit.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { readChoice, readPast } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { auditJson } from './shown.js'

type Options = { readonly format: string; readonly tenant?: string; readonly since?: string }

const CSV_COLUMNS = [
  'sequence',
  'event_id',
  'occurred_at',
  'tenant_id',
  'actor_type',
  'actor_id',
  'actor_name',
  'action',
  'object_type',
  'object_id',
  'outcome',
  'request_id',
  'address',
  'changes',
  'previous_hash',
  'hash',
] as const

export const auditExport = (runtime: Runtime) =>
  createCommand({
    name: 'export',
    about: 'print the audit trail with its proof: the hashes of the rows, and a signed head',
    examples: [
      ['audit export > trail.ndjson', 'one object a line, the signed head last'],
      ['audit export --format csv --tenant acme --since 30d > acme.csv', 'for a spreadsheet'],
    ],
    prints: false,
  })
    .option('--format <format>', 'ndjson or csv', 'ndjson')
    .option('--tenant <slug>', 'only of this tenant')
    .option('--since <time>', 'only what happened since: 30d, a date or an RFC 3339 time')
    .action(
      withContext(runtime, async ({ ctx, terminal, signal }, options: Options) => {
        const isCsv = readChoice(options.format, ['ndjson', 'csv'], '--format') === 'csv'
        const tenant =
          options.tenant === undefined ? undefined : await getTenant(ctx.platform, options.tenant)
        // taken first: it tells of no row that is not printed
        const anchor = await makeAnchor(ctx, await readAuditKey(ctx))
        if (isCsv) await terminal.result(CSV_COLUMNS.join(','))
        const rows = followAudit(
          ctx,
          {
            tenantId: tenant?.id,
            since:
              options.since === undefined
                ? undefined
                : readPast(options.since, '--since', ctx.now()),
            fromSequence: 0,
            last: 0,
            follow: false,
          },
          signal,
          () => {},
        )
        for await (const { records } of rows) {
          for (const record of records)
            await terminal.result(isCsv ? csvOf(record) : JSON.stringify(withProof(record)))
        }
        if (isCsv) await terminal.appendix(JSON.stringify({ anchor }))
        else await terminal.result(JSON.stringify({ anchor }))
      }),
    )

const withProof = (record: AuditRecord) => ({
  ...auditJson(record),
  previous_hash: record.previousHash?.toString('hex') ?? null,
  hash: record.hash?.toString('hex') ?? null,
})

function csvOf(record: AuditRecord): string {
  const { actor, object, ...rest } = withProof(record)
  const flat: Readonly<Record<string, unknown>> = {
    ...rest,
    actor_type: actor.type,
    actor_id: actor.id,
    actor_name: actor.name,
    object_type: object.type,
    object_id: object.id,
    changes: record.changes === null ? '' : JSON.stringify(record.changes),
  }
  return CSV_COLUMNS.map((column) => quoted(flat[column])).join(',')
}

/** RFC 4180; and what a spreadsheet would take for a formula is text. */
function quoted(value: unknown): string {
  const text = value === null || value === undefined ? '' : String(value)
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
