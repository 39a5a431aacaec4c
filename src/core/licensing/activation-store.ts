import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Bindable, type Executor, insertRow, rowsOf } from '../db/statements.js'
import { fromJsonColumn } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import type { Activation, ActivationStatus } from './activation.js'
import type { License } from './license.js'
import { LICENSE_COLUMNS, type LicenseRow, toLicense } from './license-store.js'

type Row = {
  id: string
  license_id: string
  instance_id: string
  device_fingerprint: string
  status: ActivationStatus
  metadata: unknown
  revision: number
  activated_at: Date
  revoked_at: Date | null
  created_at: Date
}

const COLUMNS = [
  'id',
  'license_id',
  'instance_id',
  'device_fingerprint',
  'status',
  'metadata',
  'revision',
  'activated_at',
  'revoked_at',
  'created_at',
] as const

const toActivation = (row: Row): Activation => ({
  id: row.id,
  licenseId: row.license_id,
  instanceId: row.instance_id,
  deviceFingerprint: row.device_fingerprint,
  status: row.status,
  metadata: fromJsonColumn<Record<string, unknown>>(row.metadata),
  revision: row.revision,
  activatedAt: row.activated_at,
  revokedAt: row.revoked_at ?? undefined,
  createdAt: row.created_at,
})

const FIND_ACTIVE = `select ${COLUMNS.join(', ')} from activations where license_id = ? and active_instance = ?`

/** The seat that an instance holds, asked inside a transaction. */
export async function findActiveActivation(
  db: Executor<TenantDb>,
  licenseId: string,
  instanceId: string,
): Promise<Activation | undefined> {
  const [row] = await rowsOf<Row>(db, FIND_ACTIVE, [licenseId, instanceId])
  return row && toActivation(row)
}

const LICENSE_AS = LICENSE_COLUMNS.map((column) => `licenses.${column} as license_${column}`).join(
  ', ',
)

/** An activation and its license, in one statement. */
export async function findActivationWithLicense(
  scope: TenantScope,
  activationId: string,
): Promise<{ readonly activation: Activation; readonly license: License } | undefined> {
  const [row] = await scope.read<Row & Record<string, unknown>>(
    `select ${COLUMNS.map((column) => `activations.${column}`).join(', ')}, ${LICENSE_AS}
      from activations join licenses on licenses.id = activations.license_id where activations.id = ?`,
    [activationId],
  )
  if (!row) return undefined
  const license = Object.fromEntries(
    LICENSE_COLUMNS.map((column) => [column, row[`license_${column}`]]),
  )
  return { activation: toActivation(row), license: toLicense(license as LicenseRow) }
}

export async function findActivation(
  db: Executor<TenantDb>,
  id: string,
): Promise<Activation | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `select ${COLUMNS.join(', ')} from activations where id = ?`,
    [id],
  )
  return row && toActivation(row)
}

/** Locked until the transaction ends. Lock its license first: whoever ends that one does. */
export async function lockActivation(
  transaction: Executor<TenantDb>,
  id: string,
): Promise<Activation | undefined> {
  const [row] = await rowsOf<Row>(
    transaction,
    `select ${COLUMNS.join(', ')} from activations where id = ? for update`,
    [id],
  )
  return row && toActivation(row)
}

export type ActivationFilter = {
  readonly licenseId?: string | undefined
  readonly status?: ActivationStatus | undefined
  readonly instanceId?: string | undefined
  readonly beforeId?: string | undefined
  readonly limit: number
}

/** Newest first. */
export async function listActivations(
  db: Executor<TenantDb>,
  { licenseId, status, instanceId, beforeId, limit }: ActivationFilter,
): Promise<Activation[]> {
  const conditions: [string, Bindable][] = []
  if (licenseId !== undefined) conditions.push(['license_id = ?', licenseId])
  if (status !== undefined) conditions.push(['status = ?', status])
  if (instanceId !== undefined) conditions.push(['instance_id = ?', instanceId])
  if (beforeId !== undefined) conditions.push(['id < ?', beforeId])
  const where = conditions.map(([condition]) => condition).join(' and ') || 'true'
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS.join(', ')} from activations where ${where} order by id desc limit ?`,
    [...conditions.map(([, value]) => value), limit],
  )
  return rows.map(toActivation)
}

/** @throws the driver's duplicate error where the instance holds a seat already */
export async function insertActivation(
  db: Executor<TenantDb>,
  activation: Activation,
): Promise<void> {
  await insertRow(db, 'activations', {
    id: activation.id,
    license_id: activation.licenseId,
    instance_id: activation.instanceId,
    active_instance: activation.instanceId,
    device_fingerprint: activation.deviceFingerprint,
    status: activation.status,
    metadata: JSON.stringify(activation.metadata),
    activated_at: activation.activatedAt,
    revision: activation.revision,
    created_at: activation.createdAt,
    updated_at: activation.createdAt,
  })
}

/** Ends all that are active, in the caller's transaction. Answers their ids. */
export async function revokeActivationsOf(
  transaction: Executor<TenantDb>,
  licenseId: string,
  at: Date,
): Promise<string[]> {
  const rows = await rowsOf<{ id: string }>(
    transaction,
    "select id from activations where license_id = ? and status = 'active' for update",
    [licenseId],
  )
  if (rows.length > 0) {
    await affectedBy(
      transaction,
      "update activations set status = 'revoked', active_instance = null, revoked_at = ?, updated_at = ?, revision = revision + 1 where license_id = ? and status = 'active'",
      [at, at, licenseId],
    )
  }
  return rows.map(({ id }) => id)
}

export const setActivationRevoked = (transaction: Executor<TenantDb>, id: string, at: Date) =>
  affectedBy(
    transaction,
    "update activations set status = 'revoked', active_instance = null, revoked_at = ?, updated_at = ?, revision = revision + 1 where id = ?",
    [at, at, id],
  )
