import { z } from 'zod'
import type { LastUsed } from '../../core/access/last-used.js'
import { explain } from '../../core/licensing/license.js'
import { validateLicense } from '../../core/licensing/validate-license.js'
import { parse } from '../../core/parse.js'
import type { IntegrationOperation } from './integration-operation.js'
import { licenseAnswer } from './schemas.js'

const ValidateLicenseQuery = z.strictObject({
  explain: z
    .enum(['true', 'false'], 'must be one of true, false')
    .describe('Adds every check with the values compared')
    .optional(),
})

export const validateLicenseOperation = (lastUsed: LastUsed): IntegrationOperation => ({
  id: 'validateLicense',
  method: 'post',
  writes: false,
  path: '/licenses/{licenseKey}/validate',
  tag: 'licenses',
  scope: 'licenses',
  summary: 'Validate a license',
  description:
    'Whether a license is valid now. An expired or suspended license is an answer, not an error; a grace period, where the license has one, still counts as valid.',
  parameter: {
    name: 'licenseKey',
    description: 'The license key',
    example: '9ZFM-ZEM4-VKWY-B3XE',
    isVerbatim: true,
  },
  query: ValidateLicenseQuery,
  answers: { 200: { description: 'The verdict', schema: licenseAnswer } },
  errors: ['LICENSE.NOT_FOUND', 'LICENSE.REVOKED'],
  async handle({ c, id, query }) {
    const { explain: isExplained } = parse(ValidateLicenseQuery, query)
    const scope = c.get('scope')
    const { valid, code, status, license } = await validateLicense(scope, id)
    lastUsed.license(scope.tenant, license.id)
    return {
      status: 200,
      data: {
        valid,
        code,
        license: {
          id: license.id,
          key: license.key,
          type: license.type,
          status,
          expires_at: license.expiresAt ?? null,
          entitlements: license.entitlements,
        },
        ...(isExplained === 'true' ? { checks: explain(license, scope.now()) } : {}),
      },
    }
  },
})
