import type { AuditRecord } from '../../../core/audit/audit-record.js'
import { followAudit } from '../../../core/audit/follow-audit.js'
import { findTenantById, getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { readCount, readPast } from '../../durations.js'
import { type OpenSession, type Runtime, withContext } from '../../runtime.js'
import { auditJson, COLUMN_NAMES, columnsNamed, DEFAULT_COLUMNS, Lines } from './shown.js'

type Options = {
  readonly follow?: true
  readonly lines?: string
  readonly tenant?: string
  readonly action?: string
  readonly actor?: string
  readonly since?: string
  readonly fromSeq?: string
  readonly columns: string
}

export const auditTail = (runtime: Runtime) =>
  createCommand({
    name: 'tail',
    about: 'show the audit trail as it grows',
    examples: [
      ['audit tail', 'the last 20'],
      ['audit tail -f --tenant acme --action "license.*"', 'and what comes, of one tenant'],
      ['audit tail --since 15m --json', 'for a script, one object a line'],
      ['audit tail -f --from-seq 4711', 'on from where another ended'],
    ],
  })
    .option('-f, --follow', 'go on with what comes, until Ctrl-C')
    .option(
      '-n, --lines <count>',
      'so many of the last, 20 where nothing is said; 0 for only what comes',
    )
    .option('--tenant <slug>', 'only of this tenant')
    .option('--action <action>', 'only this action, or those that begin so: license.*')
    .option('--actor <name>', 'only what this actor did, by id or name')
    .option('--since <time>', 'only what happened since: 15m, a date or an RFC 3339 time')
    .option('--from-seq <number>', 'all after this place')
    .option('--columns <list>', `which of ${COLUMN_NAMES.join(', ')}`, DEFAULT_COLUMNS)
    .action(
      withContext(runtime, async (session, options: Options) => {
        const { ctx, terminal, signal } = session
        const tenant =
          options.tenant === undefined ? undefined : await getTenant(ctx.platform, options.tenant)
        const print = printer(session, options.columns)
        const followed = followAudit(
          ctx,
          {
            tenantId: tenant?.id,
            action: options.action,
            actor: options.actor,
            since:
              options.since === undefined
                ? undefined
                : readPast(options.since, '--since', ctx.now()),
            fromSequence:
              options.fromSeq === undefined
                ? undefined
                : readCount(options.fromSeq, '--from-seq', 0, Number.MAX_SAFE_INTEGER),
            last: lastWanted(options),
            follow: options.follow === true,
          },
          signal,
          () => terminal.live('the database is away, waiting …'),
        )
        let upTo = 0
        for await (const batch of followed) {
          for (const record of batch.records) await print(record)
          upTo = batch.upTo
        }
        if (options.follow) terminal.note(`Go on with: validonx audit tail -f --from-seq ${upTo}`)
      }),
    )

/** All, where a time is said and no number. */
const lastWanted = ({ lines, since }: Options): number | undefined =>
  lines === undefined && since !== undefined ? undefined : readCount(lines ?? '20', '--lines', 0)

/** A line for each row: columns at a terminal, an object in a pipe or with `--json`. */
function printer({ ctx, runtime, terminal }: OpenSession, columns: string) {
  const slugs = new Map<string, string>()
  const shown = columnsNamed(columns, slugs)
  const isRaw = terminal.json || runtime.stdout.isTTY !== true
  const lines = new Lines(shown, runtime.stdout.columns ?? 80)
  let isHeaded = false
  let day = ''
  return async (record: AuditRecord): Promise<void> => {
    if (isRaw) return terminal.result(JSON.stringify(auditJson(record)))
    if (record.tenantId !== null && !slugs.has(record.tenantId)) {
      const tenant = await findTenantById(ctx.platform, record.tenantId)
      slugs.set(record.tenantId, tenant?.slug ?? record.tenantId)
    }
    if (!isHeaded) await terminal.result(terminal.style('dim', lines.head()))
    isHeaded = true
    const today = record.occurredAt.slice(0, 10)
    if (lines.hasDays && today !== day) await terminal.result(terminal.style('dim', today))
    day = today
    await terminal.result(terminal.style(colorOf(record), lines.row(record)))
  }
}

/** What ends something stands out from what begins something. */
function colorOf({ action }: AuditRecord): 'red' | 'yellow' | 'green' | 'reset' {
  if (/\.(revoked|deleted|removed|disabled|pruned)$/.test(action)) return 'red'
  if (/\.(suspended|role_changed|password_changed|rotated|secret_rotated)$/.test(action))
    return 'yellow'
  return /\.(created|added|issued|granted|activated)$/.test(action) ? 'green' : 'reset'
}
