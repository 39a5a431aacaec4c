import type { PlatformDb } from '../db/connect.js'
import { isFailure } from '../driver-failure.js'

export const hasWebhookPlaceholder = async (db: PlatformDb, tenantId: string): Promise<boolean> =>
  (await db('webhook_endpoints').first('id').where({ placeholder_for: tenantId })) !== undefined

/** Answers false where the tenant has a placeholder already: the unique index decides. */
export async function insertWebhookPlaceholder(
  db: PlatformDb,
  endpoint: {
    readonly id: string
    readonly tenantId: string
    readonly secretEncrypted: string
    readonly at: Date
  },
): Promise<boolean> {
  try {
    await db('webhook_endpoints').insert({
      id: endpoint.id,
      tenant_id: endpoint.tenantId,
      placeholder_for: endpoint.tenantId,
      status: 'disabled',
      events: '[]',
      secret_encrypted: endpoint.secretEncrypted,
      revision: 1,
      created_at: endpoint.at,
      updated_at: endpoint.at,
    })
    return true
  } catch (error) {
    if (isFailure(error, 'duplicate')) return false
    throw error
  }
}
