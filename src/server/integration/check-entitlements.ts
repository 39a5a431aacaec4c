import {
  CheckEntitlementsInput,
  checkEntitlements,
} from '../../core/licensing/check-entitlements.js'
import type { IntegrationOperation } from './integration-operation.js'
import { entitlementsAnswer } from './schemas.js'

export const checkEntitlementsOperation: IntegrationOperation = {
  id: 'checkEntitlements',
  method: 'post',
  writes: false,
  path: '/entitlements/check',
  tag: 'entitlements',
  scope: 'entitlements',
  summary: 'Check entitlements',
  description:
    'Which features a license grants. A number is a limit too. A license that would not validate now grants nothing. With `entitlement_codes` alone the tenant’s own entitlements answer.',
  body: {
    schema: CheckEntitlementsInput,
    example: {
      license_key: '9ZFM-ZEM4-VKWY-B3XE',
      features: ['features.export', 'activations.max'],
    },
  },
  answers: { 200: { description: 'What is granted', schema: entitlementsAnswer } },
  errors: ['LICENSE.NOT_FOUND', 'LICENSE.REVOKED'],
  async handle({ c, body }) {
    const answer = await checkEntitlements(c.get('scope'), body)
    return {
      status: 200,
      data: 'byTenant' in answer ? answer.byTenant : { entitlements: answer.byLicense },
    }
  },
}
