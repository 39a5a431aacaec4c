import { z } from 'zod'
import type { EntitlementType, EntitlementValue } from '../billing/plan.js'
import { type Entitlement, listEntitlements } from '../entitlements/entitlement-store.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import { SEATS } from './activate-license.js'
import { judge, type License, readLicenseKey } from './license.js'
import { findLicense } from './license-store.js'

const codes = z
  .array(
    z.string('must be text').min(1, 'must not be empty').max(100, 'must be at most 100 characters'),
    'must be a list of codes',
  )
  .min(1, 'must name at least one code')
  .max(200, 'must name at most 200 codes')

export const CheckEntitlementsInput = z
  .strictObject({
    license_key: z.string('must be text').max(64, 'must be at most 64 characters').optional(),
    features: codes.optional(),
    /** The published form that is about the tenant itself, and names no license. */
    entitlement_codes: codes.optional(),
  })
  .superRefine(({ license_key, features, entitlement_codes }, issues) => {
    const miss = (field: string, message = 'is required') =>
      issues.addIssue({ code: 'custom', path: [field], message })
    if (entitlement_codes && (features || license_key !== undefined)) {
      miss('entitlement_codes', 'cannot stand beside license_key and features')
    } else if (!entitlement_codes) {
      if (license_key === undefined) miss('license_key')
      if (!features) miss('features')
    }
  })

export type LicenseAnswer = {
  readonly features: Readonly<Record<string, { granted: boolean; value: EntitlementValue }>>
  readonly limits: Readonly<Record<string, { limit: number; type: 'metered' }>>
}
export type TenantAnswer = Readonly<
  Record<string, { entitled: boolean; type: EntitlementType | null; value: EntitlementValue }>
>

/**
 * Which of the asked codes are granted: by a license, or, in the form without one, by the tenant's
 * own entitlements. A license that would not validate now grants nothing.
 *
 * @throws LICENSE.NOT_FOUND, LICENSE.REVOKED
 */
export async function checkEntitlements(
  scope: TenantScope,
  input: unknown,
): Promise<{ readonly byLicense: LicenseAnswer } | { readonly byTenant: TenantAnswer }> {
  const {
    license_key: key = '',
    features = [],
    entitlement_codes,
  } = parse(CheckEntitlementsInput, input)
  if (entitlement_codes) return { byTenant: await askTenant(scope, entitlement_codes) }
  const stored = readLicenseKey(key)
  const license = stored === undefined ? undefined : await findLicense(scope, stored)
  if (!license) throw new AppError('LICENSE.NOT_FOUND')
  const verdict = judge(license, scope.now())
  if (verdict.code === 'REVOKED') throw new AppError('LICENSE.REVOKED')
  return { byLicense: await askLicense(scope, license, verdict.valid, features) }
}

async function askLicense(
  scope: TenantScope,
  license: License,
  isValid: boolean,
  features: readonly string[],
): Promise<LicenseAnswer> {
  const granted: Record<string, EntitlementValue> = isValid ? { ...license.entitlements } : {}
  if (isValid && features.includes(SEATS) && granted[SEATS] === undefined) {
    // seats that the license does not name are the tenant's default
    const seats = (await listEntitlements(scope.db)).find(({ code }) => code === SEATS)
    if (seats && seats.value !== null) granted[SEATS] = seats.value
  }
  const own = (code: string): EntitlementValue | undefined =>
    Object.hasOwn(granted, code) ? granted[code] : undefined
  return {
    features: Object.fromEntries(
      features.map((code) => {
        const value = own(code)
        const isGranted = value !== undefined && value !== false
        return [code, { granted: isGranted, value: isGranted ? value : null }]
      }),
    ),
    limits: Object.fromEntries(
      features.flatMap((code) => {
        const value = own(code)
        return typeof value === 'number' ? [[code, { limit: value, type: 'metered' as const }]] : []
      }),
    ),
  }
}

async function askTenant(scope: TenantScope, asked: readonly string[]): Promise<TenantAnswer> {
  const byCode = new Map<string, Entitlement>(
    (await listEntitlements(scope.db)).map((each) => [each.code, each]),
  )
  return Object.fromEntries(
    asked.map((code) => {
      const found = byCode.get(code)
      const entitled = found !== undefined && found.value !== false
      return [code, { entitled, type: found?.type ?? null, value: entitled ? found.value : null }]
    }),
  )
}
