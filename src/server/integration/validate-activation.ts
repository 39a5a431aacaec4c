import { validateActivation } from '../../core/licensing/validate-activation.js'
import { activationObjectOf } from './activation-object.js'
import type { IntegrationOperation } from './integration-operation.js'
import { activationValidationAnswer } from './schemas.js'

export const validateActivationOperation: IntegrationOperation = {
  id: 'validateActivation',
  method: 'post',
  writes: false,
  path: '/activations/{activationId}/validate',
  tag: 'activations',
  scope: 'activations',
  summary: 'Validate an activation',
  description:
    'Whether an activation is valid now: while it is active and its license would validate.',
  parameter: {
    name: 'activationId',
    description: 'The activation’s id',
    example: '01a20a16-e903-7073-8d90-840262d70cf5',
  },
  answers: { 200: { description: 'The verdict', schema: activationValidationAnswer } },
  errors: ['ACTIVATION.NOT_FOUND'],
  async handle({ c, id }) {
    const { valid, activation, license, verdict } = await validateActivation(c.get('scope'), id)
    return {
      status: 200,
      data: {
        valid,
        activation: activationObjectOf(activation),
        license: { id: license.id, status: verdict.status, expires_at: license.expiresAt ?? null },
      },
    }
  },
}
