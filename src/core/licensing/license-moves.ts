import { AppError } from '../errors.js'
import type { Action } from '../events/actions.js'
import type { LicenseStatus } from './license.js'

type Move = {
  /** As an error says it: "This license cannot …". */
  readonly verb: string
  readonly from: readonly LicenseStatus[]
  /** Absent where the state stays as it is. */
  readonly to?: LicenseStatus
  readonly event: Action
}

/**
 * All that can be done to a license, and in which states. What is not here is not allowed: a revoked license
 * stays visible, and stays revoked. That it has expired is no state but follows from the clock.
 */
export const LICENSE_MOVES = {
  update: { verb: 'be changed', from: ['active', 'suspended'], event: 'license.updated' },
  renew: { verb: 'be renewed', from: ['active', 'suspended'], event: 'license.renewed' },
  move: { verb: 'be moved', from: ['active', 'suspended'], event: 'license.moved' },
  suspend: { verb: 'be suspended', from: ['active'], to: 'suspended', event: 'license.suspended' },
  reinstate: {
    verb: 'be reinstated',
    from: ['suspended'],
    to: 'active',
    event: 'license.reinstated',
  },
  revoke: {
    verb: 'be revoked',
    from: ['active', 'suspended'],
    to: 'revoked',
    event: 'license.revoked',
  },
} as const satisfies Record<string, Move>

export type LicenseMove = keyof typeof LICENSE_MOVES

/** @throws LICENSE.INVALID_STATE */
export function assertLicenseMove(move: LicenseMove, status: LicenseStatus): void {
  const { verb, from }: Move = LICENSE_MOVES[move]
  if (!from.includes(status))
    throw new AppError('LICENSE.INVALID_STATE', verb, `it is ${status}`).with({ status, move })
}
