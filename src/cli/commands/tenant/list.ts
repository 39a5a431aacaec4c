import { listPlans } from '../../../core/billing/plan-store.js'
import { listServers } from '../../../core/servers/database-server-store.js'
import { TENANT_STATUSES } from '../../../core/tenants/tenant.js'
import { listTenants } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { readChoice } from '../../durations.js'
import { type Runtime, withFleet } from '../../runtime.js'

const PAGE = 500

export const tenantList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: 'list tenants by slug',
    examples: [
      ['tenant list', 'all of them'],
      ['tenant list --status failed --json', 'those whose provisioning failed, for a script'],
    ],
  })
    .option('--status <status>', `only those that are ${TENANT_STATUSES.join(', ')}`)
    .action(
      withFleet(runtime, async ({ ctx, terminal }, { status }: { status?: string }) => {
        const wanted = status && readChoice(status, TENANT_STATUSES, '--status')
        const all = []
        for (let afterSlug: string | undefined; ; ) {
          const page = await listTenants(ctx.platform, {
            status: wanted || undefined,
            afterSlug,
            limit: PAGE,
          })
          all.push(...page)
          afterSlug = page.at(-1)?.slug
          if (page.length < PAGE) break
        }
        const plans = await listPlans(ctx.platform)
        const codes = new Map(plans.map(({ id, code }) => [id, code]))
        const servers = await listServers(ctx.platform)
        const names = new Map(servers.map(({ server }) => [server.id, server.name]))
        await terminal.rows(
          all,
          [
            { title: 'slug', value: ({ slug }) => slug },
            { title: 'status', value: (tenant) => tenant.status },
            { title: 'plan', value: ({ planId }) => codes.get(planId) ?? '-' },
            { title: 'server', value: ({ serverId }) => names.get(serverId) ?? '-' },
            { title: 'name', value: ({ name }) => name },
            { title: 'database', value: ({ database }) => database },
            {
              title: 'created',
              value: ({ createdAt }) => createdAt.toISOString().slice(0, 16).replace('T', ' '),
            },
          ],
          (tenant) => ({
            id: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            status: tenant.status,
            plan: codes.get(tenant.planId) ?? null,
            server: names.get(tenant.serverId) ?? null,
            database: tenant.database,
            created_at: tenant.createdAt,
          }),
        )
        if (all.length === 0)
          terminal.remark(
            wanted
              ? `No tenant is ${wanted}.`
              : 'No tenants yet. "validonx tenant provision <slug>" makes one.',
          )
      }),
    )
