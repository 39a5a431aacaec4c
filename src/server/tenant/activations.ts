import { z } from 'zod'
import { ACTIVATION_STATUSES, type Activation } from '../../core/licensing/activation.js'
import {
  getActivation,
  ListActivationsQuery,
  pageActivations,
} from '../../core/licensing/read-activations.js'
import { revokeActivation } from '../../core/licensing/revoke-activation.js'
import { etagOf } from '../../core/preconditions.js'
import { id, idParameter, json, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const activationObject = z.strictObject({
  id,
  license_id: id,
  instance_id: z.string(),
  device_fingerprint: z.string(),
  status: z.enum(ACTIVATION_STATUSES),
  metadata: json,
  activated_at: time,
  revoked_at: time.nullable(),
  created_at: time,
})

const activationAnswer = z.strictObject({ activation: activationObject })

const toObject = (activation: Activation) => ({
  id: activation.id,
  license_id: activation.licenseId,
  instance_id: activation.instanceId,
  device_fingerprint: activation.deviceFingerprint,
  status: activation.status,
  metadata: activation.metadata,
  activated_at: activation.activatedAt,
  revoked_at: activation.revokedAt ?? null,
  created_at: activation.createdAt,
})

const shown = (activation: Activation) => ({
  status: 200 as const,
  data: { activation: toObject(activation) },
  etag: etagOf(activation.revision),
})

const tag = 'tenant: activations'
const parameter = idParameter('activationId', 'activation')

export const activationOperations: readonly TenantOperation[] = [
  {
    id: 'listActivations',
    method: 'get',
    path: '/activations',
    tag,
    permission: 'activations.read',
    summary: 'List activations',
    description: 'Newest first.',
    query: ListActivationsQuery,
    answers: { 200: { description: 'A page of activations', schema: pageOf(activationObject) } },
    errors: [],
    handle: async ({ c, query }) => ({
      status: 200,
      data: pageData(await pageActivations(c.get('scope'), query), toObject),
    }),
  },
  {
    id: 'showActivation',
    method: 'get',
    path: '/activations/{activationId}',
    tag,
    permission: 'activations.read',
    summary: 'Show an activation',
    description: 'With an ETag for If-Match.',
    parameter,
    isConditional: true,
    answers: { 200: { description: 'The activation', schema: activationAnswer } },
    errors: ['ACTIVATION.NOT_FOUND'],
    handle: async ({ c, id }) => shown(await getActivation(c.get('scope'), id)),
  },
  {
    id: 'revokeActivation',
    method: 'post',
    path: '/activations/{activationId}/revoke',
    tag,
    permission: 'activations.write',
    summary: 'Revoke an activation',
    description: 'Its seat is free at once; the instance may take one anew.',
    parameter,
    isIdempotent: true,
    isConditional: true,
    answers: { 200: { description: 'The activation', schema: activationAnswer } },
    errors: ['ACTIVATION.NOT_FOUND', 'ACTIVATION.INVALID_STATE'],
    async handle(call) {
      const { result, replayed } = await revokeActivation(
        call.c.get('scope'),
        call.id,
        preconditionsOf(call),
      )
      return { ...shown(result), replayed }
    },
  },
]
