import { AppError } from '../errors.js'
import { readUuid } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import type { Activation } from './activation.js'
import { findActivationWithLicense } from './activation-store.js'
import { judge, type License, type Verdict } from './license.js'

export type ActivationValidation = {
  readonly valid: boolean
  readonly activation: Activation
  readonly license: License
  readonly verdict: Verdict
}

/**
 * Whether an activation is valid now: while it is active itself and its license would validate.
 *
 * @throws ACTIVATION.NOT_FOUND
 */
export async function validateActivation(
  scope: TenantScope,
  id: string,
): Promise<ActivationValidation> {
  const uuid = readUuid(id)
  const found = uuid === undefined ? undefined : await findActivationWithLicense(scope, uuid)
  if (!found) throw new AppError('ACTIVATION.NOT_FOUND')
  const verdict = judge(found.license, scope.now())
  return { ...found, verdict, valid: found.activation.status === 'active' && verdict.valid }
}
