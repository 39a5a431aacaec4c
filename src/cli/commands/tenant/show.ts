import { listApiKeys } from '../../../core/access/api-key-store.js'
import { getPlanById } from '../../../core/billing/plan-store.js'
import type { Context } from '../../../core/context.js'
import { asAppError } from '../../../core/errors.js'
import { findLosses } from '../../../core/fleet/find-losses.js'
import type { Finding } from '../../../core/fleet/health.js'
import { listStageRecords } from '../../../core/provisioning/stage-store.js'
import { getServerById } from '../../../core/servers/database-server-store.js'
import type { Tenant } from '../../../core/tenants/tenant.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'
import { formatFields, formatTable } from '../../terminal.js'

export const tenantShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show a tenant and how far its provisioning came',
    examples: [
      ['tenant show acme', 'state, place, keys and stages'],
      ['tenant show acme --json | jq .stages', 'the stages, for a script'],
    ],
  })
    .argument('<slug>', 'the tenant')
    .action(
      withFleet(runtime, async ({ ctx, terminal }, slug: string) => {
        const tenant = await getTenant(ctx.platform, slug)
        const plan = await getPlanById(ctx.platform, tenant.planId)
        const server = await getServerById(ctx.platform, tenant.serverId)
        const keys = await listApiKeys(ctx.platform, tenant.id)
        const stages = await listStageRecords(ctx.platform, tenant.id)
        const findings = await lossesOf(ctx, tenant)
        const live = keys.filter(({ revokedAt }) => revokedAt === undefined)
        await terminal.record(
          {
            id: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            status: tenant.status,
            status_reason: tenant.statusReason ?? null,
            plan: plan.code,
            server: server.name,
            database: tenant.database,
            database_user: tenant.databaseUser,
            findings: findings.map(({ check, says, next }) => ({ check, says, next })),
            created_at: tenant.createdAt,
            activated_at: tenant.activatedAt ?? null,
            suspended_at: tenant.suspendedAt ?? null,
            api_keys: live.map(({ id, name, prefix, lastFour }) => ({
              id,
              name,
              prefix,
              last_four: lastFour,
            })),
            stages: stages.map((record) => ({
              stage: record.stage,
              status: record.status,
              attempts: record.attempts,
              started_at: record.startedAt,
              finished_at: record.finishedAt ?? null,
              duration_ms: record.durationMs ?? null,
              error: record.error ?? null,
            })),
          },
          () =>
            [
              formatFields([
                ['tenant', `${tenant.slug} (${tenant.name})`],
                ['id', tenant.id],
                [
                  'status',
                  tenant.statusReason ? `${tenant.status}: ${tenant.statusReason}` : tenant.status,
                ],
                ['plan', plan.code],
                ['server', server.name],
                ['database', tenant.database],
                ['database user', tenant.databaseUser],
                ['damaged', damageText(findings, tenant)],
                ['created', tenant.createdAt.toISOString()],
                ['activated', tenant.activatedAt?.toISOString()],
                [
                  'api keys',
                  live
                    .map(({ name, prefix, lastFour }) => `${prefix}…${lastFour} (${name})`)
                    .join(', '),
                ],
              ]),
              '',
              formatTable(
                ['stage', 'status', 'tries', 'finished', 'took'],
                stages.map((record) => [
                  `${String(record.position).padStart(2)} ${record.stage}`,
                  record.status,
                  String(record.attempts),
                  record.finishedAt?.toISOString().slice(0, 19).replace('T', ' ') ?? '-',
                  record.durationMs === undefined ? '-' : `${record.durationMs} ms`,
                ]),
              ),
              ...stages
                .filter(({ error }) => error !== undefined)
                .map(({ stage, error }) => `\n${stage}: ${error}`),
            ].join('\n'),
        )
      }),
    )

/** Active and suspended tenants must have a database; others may not have one. */
async function lossesOf(ctx: Context, tenant: Tenant): Promise<readonly Finding[]> {
  if (tenant.status !== 'active' && tenant.status !== 'suspended') return []
  try {
    return await findLosses(ctx, tenant)
  } catch (thrown) {
    const { message } = asAppError(thrown)
    return [{ check: 'database', says: "it can't be checked now", next: message }]
  }
}

function damageText(findings: readonly Finding[], { slug }: Tenant): string | undefined {
  if (findings.length === 0) return undefined
  const lines = findings.flatMap(({ says, next }) => [says, `→ ${next}`])
  const advice = `if it is lost for good: validonx tenant archive ${slug}`
  if (!lines.some((line) => line.endsWith(advice))) lines.push(`→ ${advice}`)
  return lines.join(`\n${' '.repeat(INDENT)}`)
}

/** Where the values of the fields begin. */
const INDENT = 'database user  '.length
