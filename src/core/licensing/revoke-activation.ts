import { type IdempotentResult, inIdempotentTransaction } from '../db/idempotency.js'
import { giveBackToLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordEvent } from '../events/outbox-store.js'
import { assertMatch, etagOf, type Preconditions } from '../preconditions.js'
import type { TenantScope } from '../tenants/scope.js'
import type { Activation } from './activation.js'
import { ACTIVATION_MOVES, assertActivationMove } from './activation-moves.js'
import { findActivation, lockActivation, setActivationRevoked } from './activation-store.js'
import { addSeats, lockLicenseRecord } from './license-store.js'

/**
 * Ends an activation; its seat is free at once.
 *
 * @throws ACTIVATION.NOT_FOUND, ACTIVATION.INVALID_STATE, REQUEST.PRECONDITION_FAILED
 */
export async function revokeActivation(
  scope: TenantScope,
  id: string,
  { idempotencyKey, ifMatch }: Preconditions = {},
): Promise<IdempotentResult<Activation>> {
  return inIdempotentTransaction(
    scope,
    { operation: 'activations.revoke', key: idempotencyKey, request: { id } },
    async (transaction) => {
      const found = await findActivation(transaction, id)
      if (!found) throw new AppError('ACTIVATION.NOT_FOUND')
      // the license first, as everybody does who needs both
      await lockLicenseRecord(transaction, found.licenseId)
      const activation = (await lockActivation(transaction, id)) ?? found
      assertMatch(ifMatch, etagOf(activation.revision))
      assertActivationMove('revoke', activation.status)
      const at = scope.now()
      await setActivationRevoked(transaction, id, at)
      await addSeats(transaction, activation.licenseId, -1)
      await giveBackToLimit(transaction, 'activations.total', 1, at)
      await recordEvent(transaction, scope, {
        at,
        action: ACTIVATION_MOVES.revoke.event,
        objectType: 'activation',
        objectId: id,
        changes: { before: { status: 'active' }, after: { status: 'revoked' } },
      })
      return { ...activation, status: 'revoked', revision: activation.revision + 1, revokedAt: at }
    },
  )
}
