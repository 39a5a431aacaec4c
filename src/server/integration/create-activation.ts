import { ActivateLicenseInput, activateLicense } from '../../core/licensing/activate-license.js'
import { activationObjectOf } from './activation-object.js'
import type { IntegrationOperation } from './integration-operation.js'
import { activationAnswer } from './schemas.js'

export const createActivation: IntegrationOperation = {
  id: 'createActivation',
  method: 'post',
  path: '/activations',
  tag: 'activations',
  scope: 'activations',
  summary: 'Activate a license on an instance',
  description:
    'Takes one of the seats of a license. An instance that holds one keeps it: a repeat answers 200 with the activation that stands, also when the license is full. `fingerprint` is taken for `instance_id` where that is absent.',
  body: {
    schema: ActivateLicenseInput,
    example: {
      license_key: '9ZFM-ZEM4-VKWY-B3XE',
      instance_id: 'build-7',
      metadata: { os: 'linux' },
    },
  },
  isIdempotent: true,
  answers: {
    200: { description: 'The instance held a seat already', schema: activationAnswer },
    201: { description: 'The instance has a seat', schema: activationAnswer },
  },
  errors: [
    'LICENSE.NOT_FOUND',
    'LICENSE.REVOKED',
    'ACTIVATION.INVALID',
    'ACTIVATION.LIMIT_EXCEEDED',
    'ENTITLEMENTS.LIMIT_EXCEEDED',
  ],
  async handle({ c, body, idempotencyKey }) {
    const { result, replayed } = await activateLicense(c.get('scope'), body, idempotencyKey)
    return {
      status: result.created ? 201 : 200,
      data: { activation: activationObjectOf(result.activation) },
      replayed,
    }
  },
}
