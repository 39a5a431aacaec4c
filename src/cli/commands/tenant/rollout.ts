import type { Rollout, RolloutTenantStatus } from '../../../core/fleet/rollout.js'
import { countByStatus, getRollout, listRolloutTenants } from '../../../core/fleet/rollout-store.js'
import { anyCaseId, createCommand } from '../../command.js'
import { readChoice } from '../../durations.js'
import { type Runtime, withFleet } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { targetText } from './plan-text.js'
import { failedTenant, failureTable } from './rollout-view.js'

const STATUSES: readonly RolloutTenantStatus[] = ['pending', 'running', 'done', 'failed', 'left']

export const rolloutShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show one rollout: how it went, and what failed',
    examples: [
      ['tenant rollout show 9f31c2a0d4e7', 'by the end of its id, as "tenant rollouts" shows it'],
      [
        "tenant rollout show 9f31c2a0d4e7 --status failed --json | jq -r '.tenants[].tenant'",
        'the tenants that failed in it',
      ],
    ],
  })
    .argument('<id>', 'its id, or the end of it', anyCaseId)
    .option('--status <status>', `with --json only tenants that are ${STATUSES.join(', ')}`)
    .action(
      withFleet(runtime, async ({ ctx, terminal }, id: string, { status }: { status?: string }) => {
        const wanted = status === undefined ? [] : [readChoice(status, STATUSES, '--status')]
        const rollout = await getRollout(ctx.platform, id)
        const counts = await countByStatus(ctx.platform, rollout.id)
        const shown: RolloutTenantStatus[] =
          wanted.length > 0 || terminal.json ? wanted : ['failed']
        const tenants = await listRolloutTenants(ctx.platform, rollout.id, shown)
        const object = {
          ...rolloutObject(rollout),
          counts,
          tenants: tenants.map((tenant) => ({
            tenant: tenant.slug,
            status: tenant.status,
            batch: tenant.batch,
            attempts: tenant.attempts,
            planned: tenant.planned,
            applied: tenant.applied,
            started_at: tenant.startedAt ?? null,
            finished_at: tenant.finishedAt ?? null,
            error_code: tenant.errorCode ?? null,
            error: tenant.error ?? null,
          })),
        }
        await terminal.record(object, () => {
          const fields = formatFields([
            ['rollout', rollout.id],
            ['status', rollout.status],
            ['target', targetText(rollout)],
            ['started', `${rollout.startedAt.toISOString()} by ${rollout.startedBy}`],
            ['finished', rollout.finishedAt?.toISOString()],
            [
              'tenants',
              Object.entries(counts)
                .map(([name, count]) => `${count} ${name}`)
                .join(', '),
            ],
            [
              'terms',
              `canary ${rollout.canary}, batches of ${rollout.batchSize}, ${rollout.concurrency} at once on a server, up to ${rollout.maxFailures} failures`,
            ],
          ])
          if (tenants.length === 0) return fields
          const failures = tenants.map(failedTenant)
          return `${fields}\n\n${failureTable(failures, terminal.columns)}`
        })
        if ((counts.failed ?? 0) > 0 && rollout.status !== 'running')
          terminal.remark('Repair what failed, then: validonx tenant migrate --retry-failed')
      }),
    )

export const rolloutObject = (rollout: Rollout) => ({
  id: rollout.id,
  status: rollout.status,
  direction: rollout.direction,
  target: rollout.target ?? null,
  undoes: rollout.undoes ?? null,
  tenants_total: rollout.tenants,
  started_by: rollout.startedBy,
  started_at: rollout.startedAt,
  finished_at: rollout.finishedAt ?? null,
  terms: {
    canary: rollout.canary,
    batch_size: rollout.batchSize,
    concurrency: rollout.concurrency,
    max_failures: rollout.maxFailures,
  },
})
