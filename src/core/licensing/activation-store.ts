import type { TenantDb } from '../db/connect.js'
import { type Executor, insertRow, rowsOf } from '../db/statements.js'
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

export async function lockActivation(
  transaction: TenantDb,
  id: string,
): Promise<Activation | undefined> {
  const row = await transaction<Row>('activations')
    .first(...COLUMNS)
    .where({ id })
    .forUpdate()
  return row && toActivation(row)
}

export async function listActivations(
  db: TenantDb,
  {
    licenseId,
    status,
    beforeId,
    limit,
  }: {
    readonly licenseId?: string | undefined
    readonly status?: ActivationStatus | undefined
    readonly beforeId?: string | undefined
    readonly limit: number
  },
): Promise<Activation[]> {
  const query = db<Row>('activations')
    .select(...COLUMNS)
    .orderBy('id', 'desc')
    .limit(limit)
  if (licenseId !== undefined) query.where({ license_id: licenseId } as object)
  if (status !== undefined) query.where({ status })
  if (beforeId !== undefined) query.where('id', '<', beforeId)
  return ((await query) as Row[]).map(toActivation)
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
    revision: 1,
    created_at: activation.createdAt,
    updated_at: activation.createdAt,
  })
}

export async function setActivationRevoked(db: TenantDb, id: string, at: Date): Promise<void> {
  await db('activations')
    .where({ id })
    .update({
      status: 'revoked',
      active_instance: null,
      revoked_at: at,
      updated_at: at,
      revision: db.raw('revision + 1'),
    })
}
