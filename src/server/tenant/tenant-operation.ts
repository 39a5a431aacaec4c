import type { Context } from 'hono'
import { AppError } from '../../core/errors.js'
import { may, type Permission } from '../../core/identity/roles.js'
import type { ServerEnv } from '../env.js'
import type { Operation } from '../operation.js'

export type TenantOperation = Operation & {
  /** What the caller's role must allow. */
  readonly permission: Permission
}

/** @throws AUTH.INSUFFICIENT_PERMISSIONS */
export function assertPermitted(c: Context<ServerEnv>, { permission }: TenantOperation): void {
  const role = c.get('role')
  if (!may(role, permission)) throw new AppError('AUTH.INSUFFICIENT_PERMISSIONS', role)
}
