import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { readAnchor } from '../../../core/audit/anchor.js'
import { readAuditKey } from '../../../core/audit/audit-key.js'
import { verifyAudit } from '../../../core/audit/verify-audit.js'
import { AppError } from '../../../core/errors.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { readPast } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'

type Options = { readonly since?: string; readonly tenant?: string; readonly anchor?: string }

export const auditVerify = (runtime: Runtime) =>
  createCommand({
    name: 'verify',
    about: 'recompute the chain of the audit trail, and name the first row that was tampered with',
    examples: [
      ['audit verify', 'all of it; exit 1 where it does not hold'],
      ['audit verify --anchor head.json', 'and that its end was not cut off'],
      ['audit verify --since 7d', 'the last week'],
    ],
  })
    .option('--since <time>', 'begin there: 7d, a date or an RFC 3339 time')
    .option('--tenant <slug>', 'count only the rows of this tenant; all are recomputed')
    .option('--anchor <file>', 'what "audit anchor" printed once; - is standard input')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const key = await readAuditKey(ctx)
        const tenant =
          options.tenant === undefined ? undefined : await getTenant(ctx.platform, options.tenant)
        const anchor =
          options.anchor === undefined
            ? undefined
            : await readAnchor(ctx, key, await read(runtime, options.anchor))
        const verdict = await verifyAudit(ctx, key, {
          tenantId: tenant?.id,
          since:
            options.since === undefined ? undefined : readPast(options.since, '--since', ctx.now()),
          anchor,
          report: (verified) => terminal.live(`${verified} rows verified …`),
        })
        const { fault, verified, head, unsealed } = verdict
        await terminal.record(
          {
            intact: verdict.intact,
            verified,
            from: verdict.from,
            head,
            unsealed,
            fault: fault ?? null,
          },
          () =>
            fault
              ? `row ${fault.sequence} is ${fault.what}: ${fault.why}`
              : `${verified} rows hold${head ? `, up to ${head.sequence} (${head.hash.slice(0, 16)}…)` : ''}; ${unsealed} wait for their place`,
        )
        if (fault) throw new AppError('AUDIT.BROKEN', fault.sequence, fault.what, fault.why)
      }),
    )

/** @throws USAGE.INVALID where there is no such file */
async function read(runtime: Runtime, path: string): Promise<string> {
  if (path === '-') return text(runtime.stdin)
  return readFile(path, 'utf8').catch(() => {
    throw new AppError('USAGE.INVALID', `"${path}" cannot be read. Give --anchor a file, or -.`)
  })
}
