import {
  findDeliveredBootstrapKey,
  revokeUndeliveredBootstrapKeys,
} from '../../access/api-key-store.js'
import { addApiKey } from '../../access/create-api-key.js'
import { recordRevocation } from '../../access/revoke-api-key.js'
import { onPlatform } from '../on-platform.js'
import type { Stage } from '../stage.js'

/**
 * The tenant's first API key. Only its HMAC is stored, so one that a cut-off run made and never showed
 * is lost: it is revoked here and another made, until one was shown.
 */
export const generateApiKey: Stage = {
  name: 'generate-api-key',
  effect: 'platform',

  check: async ({ ctx, tenant, bootstrapKey }) =>
    bootstrapKey !== undefined ||
    (await findDeliveredBootstrapKey(ctx.platform, tenant.id)) !== undefined,

  async run(job) {
    job.bootstrapKey = await onPlatform(job, async (transaction, at) => {
      for (const id of await revokeUndeliveredBootstrapKeys(transaction, job.tenant.id, at)) {
        await recordRevocation(job.ctx, transaction, job.tenant.id, id, at)
      }
      return addApiKey(job.ctx, transaction, {
        tenantId: job.tenant.id,
        name: 'bootstrap',
        isBootstrap: true,
      })
    })
  },
}
