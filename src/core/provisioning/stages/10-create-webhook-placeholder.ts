import { insertAudit } from '../../events/audit-store.js'
import { newId } from '../../ids.js'
import { mintWebhookSecret } from '../../webhooks/webhook-endpoint.js'
import {
  hasWebhookPlaceholder,
  insertWebhookPlaceholder,
} from '../../webhooks/webhook-endpoint-store.js'
import { onPlatform } from '../on-platform.js'
import type { Stage } from '../stage.js'

/** A webhook endpoint without an address: disabled, its signing secret made and sealed, ready to be pointed somewhere. */
export const createWebhookPlaceholder: Stage = {
  name: 'create-webhook-placeholder',
  effect: 'platform',

  check: ({ ctx, tenant }) => hasWebhookPlaceholder(ctx.platform, tenant.id),

  run: (job) =>
    onPlatform(job, async (transaction, at) => {
      const id = newId()
      const secret = mintWebhookSecret()
      const secretEncrypted = job.ctx.keyring.encrypt(secret, id)
      if (
        !(await insertWebhookPlaceholder(transaction, {
          id,
          tenantId: job.tenant.id,
          secretEncrypted,
          at,
        }))
      )
        return
      await insertAudit(transaction, {
        occurredAt: at,
        actor: job.ctx.actor,
        action: 'webhook_endpoint.reserved',
        objectType: 'webhook_endpoint',
        objectId: id,
        tenantId: job.tenant.id,
        changes: { after: { status: 'disabled', url: null } },
      })
    }),
}
