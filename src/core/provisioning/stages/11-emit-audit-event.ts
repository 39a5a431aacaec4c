import { hasAudit, insertAudit } from '../../events/audit-store.js'
import { idFrom } from '../../ids.js'
import { onPlatform } from '../on-platform.js'
import type { Job, Stage } from '../stage.js'

/** The event's id follows from the tenant's, so that however many attempts there were, it stands once. */
const eventIdOf = ({ tenant }: Job): string => idFrom('tenant.provisioned', tenant.id)

export const emitAuditEvent: Stage = {
  name: 'emit-audit-event',
  effect: 'platform',

  check: (job) => hasAudit(job.ctx.platform, eventIdOf(job)),

  async run(job) {
    if (await this.check(job)) return
    await onPlatform(job, async (transaction, at) => {
      await insertAudit(transaction, {
        eventId: eventIdOf(job),
        occurredAt: at,
        actor: job.ctx.actor,
        action: 'tenant.provisioned',
        objectType: 'tenant',
        objectId: job.tenant.id,
        tenantId: job.tenant.id,
        changes: {
          after: { slug: job.tenant.slug, database: job.tenant.database, plan: job.plan.code },
        },
      })
    })
  },
}
