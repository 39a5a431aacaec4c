import { AppError } from '../errors.js'
import type { Action } from '../events/actions.js'
import type { ActivationStatus } from './activation.js'

type Move = {
  readonly verb: string
  readonly from: readonly ActivationStatus[]
  readonly to: ActivationStatus
  readonly event: Action
}

/** All that can be done to an activation. One that has ended stays so; the instance may take a seat anew. */
export const ACTIVATION_MOVES = {
  revoke: { verb: 'be revoked', from: ['active'], to: 'revoked', event: 'activation.revoked' },
} as const satisfies Record<string, Move>

export type ActivationMove = keyof typeof ACTIVATION_MOVES

/** @throws ACTIVATION.INVALID_STATE */
export function assertActivationMove(move: ActivationMove, status: ActivationStatus): void {
  const { verb, from }: Move = ACTIVATION_MOVES[move]
  if (!from.includes(status))
    throw new AppError('ACTIVATION.INVALID_STATE', verb, `it is ${status}`).with({ status, move })
}
