import type { Connection } from 'mysql2'
import { z } from 'zod'
import { inIdempotentTransaction } from '../db/idempotency.js'
import { findEntitlementValue } from '../entitlements/entitlement-store.js'
import { takeFromLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { insertOutbox } from '../events/outbox-store.js'
import { newId } from '../ids.js'
import { metadataSchema } from '../metadata.js'
import { parse } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import { type Activation, fingerprintOf } from './activation.js'
import { findActiveActivation, insertActivation } from './activation-store.js'
import { judge, type License, readLicenseKey } from './license.js'
import { addSeats, lockLicense } from './license-store.js'

/** The entitlement that says how many instances may use a license at a time. */
export const SEATS = 'activations.max'

const identifier = (max: number) =>
  z
    .string('must be text')
    .min(1, 'must not be empty')
    .max(max, `must be at most ${max} characters`)
    // MySQL takes no half of a surrogate pair, and control characters have no place in a name
    .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'must be text without control characters')
    // the database takes two texts for one that differ in blanks at their end alone
    .refine((text) => text === text.trim(), 'must not begin or end with a blank')

export const ActivateLicenseInput = z
  .strictObject({
    license_key: z.string('must be text').max(64, 'must be at most 64 characters'),
    instance_id: identifier(190).optional(),
    /** Another published name of `instance_id`. */
    fingerprint: identifier(190).optional(),
    device_fingerprint: identifier(190).optional(),
    metadata: metadataSchema.optional(),
  })
  .refine(
    ({ instance_id, fingerprint }) => instance_id !== undefined || fingerprint !== undefined,
    {
      path: ['instance_id'],
      message: 'is required',
    },
  )

export type ActivationOutcome = {
  /** Whether this call took the seat, rather than found it taken by the same instance. */
  readonly created: boolean
  readonly activation: Activation
}

/**
 * Takes a seat of a license for an instance. An instance that holds one keeps it, however many ask at
 * once and also when the license is full; of many instances at the last seat one gets it.
 *
 * @throws LICENSE.NOT_FOUND, LICENSE.REVOKED, ACTIVATION.INVALID, ACTIVATION.LIMIT_EXCEEDED with
 *   `details`: current and limit; ENTITLEMENTS.LIMIT_EXCEEDED where the plan's total is reached
 */
export async function activateLicense(scope: TenantScope, input: unknown, idempotencyKey?: string) {
  const given = parse(ActivateLicenseInput, input)
  const key = readLicenseKey(given.license_key)
  if (key === undefined) throw new AppError('LICENSE.NOT_FOUND')
  // a repeat may spell the key otherwise
  const wish = { ...given, license_key: key }
  const instanceId = wish.instance_id ?? wish.fingerprint ?? ''
  return inIdempotentTransaction(
    scope,
    { operation: 'activations.create', key: idempotencyKey, request: wish },
    async (transaction) => {
      const at = scope.now()
      const locked = await lockLicense(transaction, key)
      if (!locked) throw new AppError('LICENSE.NOT_FOUND')
      const { license, seatsTaken } = locked
      assertActivatable(license, at)
      const held = await findActiveActivation(transaction, license.id, instanceId)
      if (held) return { created: false, activation: held }
      const limit = await seatLimit(transaction, license)
      if (limit !== undefined && seatsTaken >= limit) {
        throw new AppError('ACTIVATION.LIMIT_EXCEEDED', limit).with({ current: seatsTaken, limit })
      }
      const activation: Activation = {
        id: newId(),
        licenseId: license.id,
        instanceId,
        deviceFingerprint: wish.device_fingerprint ?? fingerprintOf(instanceId),
        status: 'active',
        metadata: wish.metadata ?? {},
        revision: 1,
        activatedAt: at,
        revokedAt: undefined,
        createdAt: at,
      }
      await insertActivation(transaction, activation)
      await addSeats(transaction, license.id, 1)
      await insertOutbox(transaction, {
        occurredAt: at,
        actor: scope.actor,
        requestId: scope.requestId,
        action: 'activation.created',
        objectType: 'activation',
        objectId: activation.id,
        changes: { after: { license_id: license.id, instance_id: instanceId } },
      })
      // last, since all activations of the tenant wait for one another from here to the commit
      await takeFromLimit(transaction, 'activations.total', 1, at)
      return { created: true, activation }
    },
  )
}

const WHY_NOT = {
  SUSPENDED: 'it is suspended',
  EXPIRED: 'it has expired',
  NOT_YET_VALID: 'it is not valid yet',
} as const

function assertActivatable(license: License, at: Date): void {
  const { valid, code } = judge(license, at)
  if (code === 'REVOKED') throw new AppError('LICENSE.REVOKED')
  if (!valid)
    throw new AppError('ACTIVATION.INVALID', WHY_NOT[code as keyof typeof WHY_NOT]).with({
      reason: code,
    })
}

/** What the license grants, else what the tenant does; undefined is unlimited. */
async function seatLimit(transaction: Connection, license: License): Promise<number | undefined> {
  const own = license.entitlements[SEATS]
  if (typeof own === 'number') return own
  const granted = await findEntitlementValue(transaction, SEATS)
  return typeof granted === 'number' ? granted : undefined
}
