import { AppError } from '../errors.js'
import type { TenantScope } from '../tenants/scope.js'
import { isWellFormedLicenseKey, judge, type License, type Verdict } from './license.js'
import { findLicense } from './license-store.js'

export type Validation = Verdict & { readonly license: License }

/**
 * Whether a license is valid now. An expired or suspended one is an answer, not an error.
 *
 * @throws LICENSE.NOT_FOUND where this tenant has no such license, LICENSE.REVOKED
 */
export async function validateLicense(scope: TenantScope, key: string): Promise<Validation> {
  const license = isWellFormedLicenseKey(key) ? await findLicense(scope, key) : undefined
  if (!license) throw new AppError('LICENSE.NOT_FOUND')
  const verdict = judge(license, scope.now())
  if (verdict.code === 'REVOKED') throw new AppError('LICENSE.REVOKED')
  return { ...verdict, license }
}
