import { createHash } from 'node:crypto'

export const ACTIVATION_STATUSES = ['active', 'revoked'] as const
export type ActivationStatus = (typeof ACTIVATION_STATUSES)[number]

/** One instance that uses a license. */
export type Activation = {
  readonly id: string
  readonly licenseId: string
  readonly instanceId: string
  readonly deviceFingerprint: string
  readonly status: ActivationStatus
  readonly metadata: Readonly<Record<string, unknown>>
  readonly revision: number
  readonly activatedAt: Date
  readonly revokedAt: Date | undefined
  readonly createdAt: Date
}

/** What stands for the device where the caller names none: 64 hex digits of the instance's name. */
export const fingerprintOf = (instanceId: string): string =>
  createHash('sha256').update(instanceId).digest('hex')
