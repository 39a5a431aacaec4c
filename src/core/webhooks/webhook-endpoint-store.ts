import type { PlatformDb } from '../db/connect.js'
import { affectedBy, insertRow, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { fromJsonColumn } from '../parse.js'
import type { WebhookEndpoint, WebhookEvent, WebhookStatus } from './webhook-endpoint.js'

export const hasWebhookPlaceholder = async (db: PlatformDb, tenantId: string): Promise<boolean> =>
  (await db('webhook_endpoints').first('id').where({ placeholder_for: tenantId })) !== undefined

/** Answers false where the tenant has a placeholder already: the unique index decides. */
export async function insertWebhookPlaceholder(
  db: PlatformDb,
  endpoint: {
    readonly id: string
    readonly tenantId: string
    readonly secretEncrypted: string
    readonly at: Date
  },
): Promise<boolean> {
  try {
    await db('webhook_endpoints').insert({
      id: endpoint.id,
      tenant_id: endpoint.tenantId,
      placeholder_for: endpoint.tenantId,
      status: 'disabled',
      events: '[]',
      secret_encrypted: endpoint.secretEncrypted,
      revision: 1,
      created_at: endpoint.at,
      updated_at: endpoint.at,
    })
    return true
  } catch (error) {
    if (isFailure(error, 'duplicate')) return false
    throw error
  }
}

/** Those that a tenant has set up; a placeholder is none. */
export async function countWebhookEndpoints(db: PlatformDb, tenantId: string): Promise<number> {
  const [row] = await rowsOf<{ count: number | string }>(
    db,
    'select count(*) as count from webhook_endpoints where tenant_id = ? and url is not null',
    [tenantId],
  )
  return Number(row?.count)
}

type Row = {
  id: string
  tenant_id: string
  url: string
  description: string | null
  status: WebhookStatus
  events: unknown
  previous_secret_expires_at: Date | null
  disabled_reason: string | null
  revision: number
  created_at: Date
  updated_at: Date
}

// never the secrets
const COLUMNS =
  'id, tenant_id, url, description, status, events, previous_secret_expires_at, disabled_reason, revision, created_at, updated_at'

const toEndpoint = (row: Row): WebhookEndpoint => ({
  id: row.id,
  tenantId: row.tenant_id,
  url: row.url,
  description: row.description ?? undefined,
  status: row.status,
  events: fromJsonColumn<WebhookEvent[]>(row.events),
  previousSecretExpiresAt: row.previous_secret_expires_at ?? undefined,
  disabledReason: row.disabled_reason ?? undefined,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** Newest first; a placeholder is none. */
export async function listWebhookEndpoints(
  db: PlatformDb,
  tenantId: string,
  { beforeId, limit }: { readonly beforeId?: string | undefined; readonly limit: number },
): Promise<WebhookEndpoint[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from webhook_endpoints where tenant_id = ? and url is not null and id < ? order by id desc limit ?`,
    [tenantId, beforeId ?? 'g', limit],
  )
  return rows.map(toEndpoint)
}

/** @param lock holds it until the transaction ends */
export async function findWebhookEndpoint(
  db: PlatformDb,
  tenantId: string,
  id: string,
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<WebhookEndpoint | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from webhook_endpoints where tenant_id = ? and id = ? and url is not null${lock ? ' for update' : ''}`,
    [tenantId, id],
  )
  return row && toEndpoint(row)
}

/** The placeholder that provisioning made, if it stands for nothing yet. */
export async function findFreePlaceholder(
  db: PlatformDb,
  tenantId: string,
): Promise<{ readonly id: string; readonly revision: number } | undefined> {
  const [row] = await rowsOf<{ id: string; revision: number }>(
    db,
    'select id, revision from webhook_endpoints where placeholder_for = ? and url is null for update',
    [tenantId],
  )
  return row
}

export const insertWebhookEndpoint = (
  db: PlatformDb,
  endpoint: WebhookEndpoint,
  secretEncrypted: string,
): Promise<void> =>
  insertRow(db, 'webhook_endpoints', {
    id: endpoint.id,
    tenant_id: endpoint.tenantId,
    url: endpoint.url,
    description: endpoint.description ?? null,
    status: endpoint.status,
    events: JSON.stringify(endpoint.events),
    secret_encrypted: secretEncrypted,
    revision: endpoint.revision,
    created_at: endpoint.createdAt,
    updated_at: endpoint.updatedAt,
  })

export const setWebhookEndpoint = (db: PlatformDb, endpoint: WebhookEndpoint) =>
  affectedBy(
    db,
    'update webhook_endpoints set url = ?, description = ?, status = ?, events = ?, disabled_reason = ?, revision = ?, created_at = ?, updated_at = ? where id = ?',
    [
      endpoint.url,
      endpoint.description ?? null,
      endpoint.status,
      JSON.stringify(endpoint.events),
      endpoint.disabledReason ?? null,
      endpoint.revision,
      endpoint.createdAt,
      endpoint.updatedAt,
      endpoint.id,
    ],
  )

/** Answers false where it is disabled already. What was still to be delivered is given up. */
export async function disableEndpoint(
  db: PlatformDb,
  id: string,
  reason: string,
  at: Date,
): Promise<boolean> {
  const disabled = await affectedBy(
    db,
    "update webhook_endpoints set status = 'disabled', disabled_reason = ?, revision = revision + 1, updated_at = ? where id = ? and status = 'enabled'",
    [reason.slice(0, 255), at, id],
  )
  return disabled === 1
}

/** Sets another secret, and the earlier ones that still sign, with the last one's end. */
export const setWebhookSecret = (
  db: PlatformDb,
  id: string,
  secretEncrypted: string,
  earlier?: { readonly sealed: string; readonly until: Date },
) =>
  affectedBy(
    db,
    'update webhook_endpoints set previous_secret_encrypted = ?, previous_secret_expires_at = ?, secret_encrypted = ? where id = ?',
    [earlier?.sealed ?? null, earlier?.until ?? null, secretEncrypted, id],
  )

/** The sealed secrets of an endpoint that the transaction has locked. */
export async function getSecrets(
  transaction: PlatformDb,
  id: string,
): Promise<{ current: string; earlier: string | undefined; earlierUntil: Date | undefined }> {
  const [row] = await rowsOf<{ current: string; earlier: string | null; until: Date | null }>(
    transaction,
    'select secret_encrypted as current, previous_secret_encrypted as earlier, previous_secret_expires_at as until from webhook_endpoints where id = ?',
    [id],
  )
  if (!row) throw new AppError('WEBHOOK.NOT_FOUND')
  return {
    current: row.current,
    earlier: row.earlier ?? undefined,
    earlierUntil: row.until ?? undefined,
  }
}

/** Takes an endpoint away; the placeholder of provisioning becomes one again. */
export async function deleteWebhookEndpoint(
  db: PlatformDb,
  id: string,
  secretEncrypted: string,
  at: Date,
): Promise<void> {
  await affectedBy(db, 'delete from webhook_deliveries where endpoint_id = ?', [id])
  await affectedBy(db, 'delete from webhook_endpoints where id = ? and placeholder_for is null', [
    id,
  ])
  await affectedBy(
    db,
    `update webhook_endpoints set url = null, description = null, status = 'disabled', events = '[]', secret_encrypted = ?,
      previous_secret_encrypted = null, previous_secret_expires_at = null, failing_since = null, disabled_reason = null,
      revision = revision + 1, updated_at = ? where id = ?`,
    [secretEncrypted, at, id],
  )
}

/** The sealed secrets that are good at an instant, the current one first. */
export async function findSecrets(db: PlatformDb, id: string, at: Date): Promise<string[]> {
  const [row] = await rowsOf<{
    secret_encrypted: string
    previous_secret_encrypted: string | null
    previous_secret_expires_at: Date | null
  }>(
    db,
    'select secret_encrypted, previous_secret_encrypted, previous_secret_expires_at from webhook_endpoints where id = ?',
    [id],
  )
  if (!row) return []
  const previous = row.previous_secret_encrypted
  const isGood = row.previous_secret_expires_at !== null && row.previous_secret_expires_at > at
  return [row.secret_encrypted, ...(previous !== null && isGood ? [previous] : [])]
}
