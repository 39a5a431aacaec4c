import { z } from 'zod'
import { listEntitlements } from '../../core/entitlements/entitlement-store.js'
import { entitlementValue } from '../integration/schemas.js'
import type { TenantOperation } from './tenant-operation.js'

const entitlementObject = z.strictObject({
  code: z.string(),
  type: z.enum(['boolean', 'metered', 'text']),
  value: entitlementValue.nullable().describe('Null: unlimited'),
  source: z.enum(['plan', 'override']).describe('Where it comes from'),
})

export const entitlementOperations: readonly TenantOperation[] = [
  {
    id: 'listEntitlements',
    method: 'get',
    path: '/entitlements',
    tag: 'tenant: entitlements',
    permission: 'entitlements.read',
    summary: 'List what the tenant is granted',
    description: 'By its plan, and by what was agreed on beside it.',
    answers: {
      200: {
        description: 'All of them',
        schema: z.strictObject({ items: z.array(entitlementObject) }),
      },
    },
    errors: [],
    handle: async ({ c }) => ({
      status: 200,
      data: { items: await listEntitlements(c.get('scope').db) },
    }),
  },
]
