import { AppError } from '../errors.js'
import { readUuid } from '../parse.js'
import type { Membership } from './token-store.js'

/**
 * The one tenant that a request is for: that of the user's only membership, or the one that X-Tenant-ID names.
 * A tenant of others and one that does not exist are told apart by nothing: both are looked for in the same short list.
 *
 * @throws AUTH.FORBIDDEN where the user belongs to none; VALIDATION.FAILED where the header is needed, or is
 *   no tenant's id; TENANT.NOT_FOUND where the user does not belong to it
 */
export function chooseTenant(
  memberships: readonly Membership[],
  wanted: string | undefined,
): Membership {
  const id = wanted === undefined ? undefined : readUuid(wanted)
  if (wanted !== undefined && id === undefined) {
    throw new AppError('VALIDATION.FAILED').with({
      'X-Tenant-ID': ['must be a tenant’s id: a UUID'],
    })
  }
  const [only, ...others] = memberships
  if (id !== undefined) {
    const chosen = memberships.find(({ tenant }) => tenant.id === id)
    if (!chosen) throw new AppError('TENANT.NOT_FOUND')
    return chosen
  }
  if (!only) throw new AppError('AUTH.FORBIDDEN')
  if (others.length > 0) {
    throw new AppError('VALIDATION.FAILED').with({
      'X-Tenant-ID': ['is required: this user belongs to several tenants'],
    })
  }
  return only
}
