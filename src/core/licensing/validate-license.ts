import { AppError } from '../errors.js'
import type { TenantScope } from '../tenants/scope.js'
import { judge, type License, readLicenseKey, type Verdict } from './license.js'
import { findLicense } from './license-store.js'

export type Validation = Verdict & { readonly license: License }

/**
 * Whether a license is valid now. An expired or suspended one is an answer, not an error.
 *
 * @throws LICENSE.NOT_FOUND where this tenant has no such license, LICENSE.REVOKED
 */
export async function validateLicense(scope: TenantScope, key: string): Promise<Validation> {
  const stored = readLicenseKey(key)
  const license = stored === undefined ? undefined : await findLicense(scope, stored)
  if (!license) throw new AppError('LICENSE.NOT_FOUND')
  const verdict = judge(license, scope.now())
  if (verdict.code === 'REVOKED') throw new AppError('LICENSE.REVOKED')
  return { ...verdict, license }
}
