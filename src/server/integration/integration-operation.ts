import type { Context } from 'hono'
import type { ApiKeyScope } from '../../core/access/api-key.js'
import { AppError } from '../../core/errors.js'
import type { ServerEnv } from '../env.js'
import type { Operation } from '../operation.js'

export type IntegrationOperation = Operation & {
  /** The group of endpoints that an API key may be limited to. */
  readonly scope: ApiKeyScope
}

/** @throws AUTH.TOKEN.INVALID_SCOPE */
export function assertScope(c: Context<ServerEnv>, { scope }: IntegrationOperation): void {
  const scopes = c.get('scopes')
  if (scopes && !scopes.includes(scope)) throw new AppError('AUTH.TOKEN.INVALID_SCOPE', scope)
}
