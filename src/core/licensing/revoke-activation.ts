import { inTransaction } from '../db/transaction.js'
import { giveBackToLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { insertOutbox } from '../events/outbox-store.js'
import type { TenantScope } from '../tenants/scope.js'
import type { Activation } from './activation.js'
import { lockActivation, setActivationRevoked } from './activation-store.js'
import { addSeats } from './license-store.js'

/**
 * Ends an activation; its seat is free at once. One that has ended is left as it is.
 *
 * @throws ACTIVATION.NOT_FOUND
 */
export async function revokeActivation(scope: TenantScope, id: string): Promise<Activation> {
  return inTransaction(scope.db, async (transaction) => {
    const at = scope.now()
    const activation = await lockActivation(transaction, id)
    if (!activation) throw new AppError('ACTIVATION.NOT_FOUND')
    if (activation.status === 'revoked') return activation
    await setActivationRevoked(transaction, id, at)
    await addSeats(transaction, activation.licenseId, -1)
    await giveBackToLimit(transaction, 'activations.total', 1, at)
    await insertOutbox(transaction, {
      occurredAt: at,
      actor: scope.actor,
      requestId: scope.requestId,
      action: 'activation.revoked',
      objectType: 'activation',
      objectId: id,
      changes: { before: { status: 'active' }, after: { status: 'revoked' } },
    })
    return { ...activation, status: 'revoked', revokedAt: at }
  })
}
