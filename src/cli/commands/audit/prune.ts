import { readAuditKey } from '../../../core/audit/audit-key.js'
import { pruneAudit } from '../../../core/audit/prune-audit.js'
import { createCommand } from '../../command.js'
import { readPast } from '../../durations.js'
import { type Runtime, withFleet } from '../../runtime.js'

type Options = { readonly before: string; readonly yes?: true }

export const auditPrune = (runtime: Runtime) =>
  createCommand({
    name: 'prune',
    about: 'remove what happened before a time; a signed checkpoint stands in its place',
    examples: [
      ['audit prune --before 400d', 'asks first; --yes does not'],
      ['audit prune --before 2026-01-01 --yes', 'by a date'],
    ],
  })
    .requiredOption('--before <time>', 'an age such as 400d, a date or an RFC 3339 time')
    .option('--yes', 'do not ask')
    .action(
      withFleet(runtime, async ({ ctx, terminal }, options: Options) => {
        const before = readPast(options.before, '--before', ctx.now())
        const question = `Remove the audit trail before ${before.toISOString()} for good?`
        if (!options.yes && !(await terminal.confirm(question, '--yes')))
          return terminal.note('Nothing was done.')
        const pruned = await pruneAudit(ctx, await readAuditKey(ctx), before, (removed) =>
          terminal.live(`${removed} rows removed …`),
        )
        await terminal.record({ removed: pruned.removed, up_to: pruned.upTo }, () =>
          pruned.removed === 0
            ? 'nothing to remove'
            : `${pruned.removed} rows removed, up to ${pruned.upTo}`,
        )
      }),
    )
