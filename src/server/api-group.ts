import type { ErrorCode } from '../core/errors.js'
import type { Operation } from './operation.js'

/** Endpoints under one base that have their guard in common. */
export type ApiGroup = {
  /** Below `/v1`. */
  readonly base: '/integration' | '/auth' | '/tenant'
  readonly operations: readonly (Operation & { readonly isPublic?: true })[]
  readonly credential: 'apiKey' | 'bearer'
  /** What each of them may answer beside its own errors. */
  readonly errors: readonly ErrorCode[]
  /** Whether answers say how much of the caller's limits is left. */
  readonly showsLimits: boolean
  /** Whether X-Tenant-ID chooses among the caller's tenants. */
  readonly choosesTenant: boolean
}

const OF_ONE_TENANT: readonly ErrorCode[] = [
  'TENANT.STATUS.SUSPENDED',
  'TENANT.INVALID_STATE',
  'TENANT.DATABASE_MISSING',
  'TENANT.DATABASE_NOT_OWNED',
  'DATABASE.BUSY',
]

export const integrationGroup = (operations: ApiGroup['operations']): ApiGroup => ({
  base: '/integration',
  operations,
  credential: 'apiKey',
  errors: [
    'AUTH.INVALID_API_KEY',
    'AUTH.API_KEY_REVOKED',
    'AUTH.TOKEN.INVALID_SCOPE',
    'RATE_LIMIT.EXCEEDED',
    ...OF_ONE_TENANT,
  ],
  showsLimits: true,
  choosesTenant: false,
})

const OF_A_TOKEN: readonly ErrorCode[] = [
  'AUTH.TOKEN.REQUIRED',
  'AUTH.UNAUTHENTICATED',
  'RATE_LIMIT.EXCEEDED',
]

export const authGroup = (operations: ApiGroup['operations']): ApiGroup => ({
  base: '/auth',
  operations,
  credential: 'bearer',
  errors: OF_A_TOKEN,
  showsLimits: false,
  choosesTenant: false,
})

export const tenantGroup = (operations: ApiGroup['operations']): ApiGroup => ({
  base: '/tenant',
  operations,
  credential: 'bearer',
  errors: [
    ...OF_A_TOKEN,
    'AUTH.TOKEN.INVALID_SCOPE',
    'AUTH.FORBIDDEN',
    'AUTH.INSUFFICIENT_PERMISSIONS',
    'TENANT.NOT_FOUND',
    ...OF_ONE_TENANT,
  ],
  showsLimits: false,
  choosesTenant: true,
})
