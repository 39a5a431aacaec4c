import { enterTenant } from '../../../core/tenants/scope.js'
import { findUsageDifferences, rebuildUsage } from '../../../core/usage/rebuild-usage.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const usageRebuild = (runtime: Runtime) =>
  createCommand({
    name: 'rebuild',
    about: 'set the usage counters to what the recorded events come to',
    examples: [
      ['usage rebuild --tenant acme --verify', 'only compares; exit status 1 where they differ'],
      ['usage rebuild --tenant acme', 'mends what differs'],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--verify', 'compare, and change nothing')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, options: { tenant: string; verify?: true }) => {
          const scope = await enterTenant(ctx, options.tenant)
          const differences = options.verify
            ? await findUsageDifferences(scope)
            : await rebuildUsage(scope)
          await terminal.rows(
            differences,
            [
              { title: 'code', value: ({ code }) => code },
              { title: 'license', value: ({ licenseId }) => licenseId },
              {
                title: 'period',
                value: ({ periodStart }) => periodStart.toISOString().slice(0, 7),
              },
              { title: 'counted', value: ({ counted }) => String(counted) },
              { title: 'recorded', value: ({ recorded }) => String(recorded) },
            ],
            ({ code, licenseId, periodStart, counted, recorded }) => ({
              code,
              license_id: licenseId,
              period_start: periodStart,
              counted,
              recorded,
            }),
          )
          if (differences.length === 0) return terminal.remark('Counters and events agree.')
          terminal.remark(
            options.verify
              ? `${differences.length} counters differ.`
              : `${differences.length} counters were mended.`,
          )
          if (options.verify) runtime.setExit(1)
        },
      ),
    )
