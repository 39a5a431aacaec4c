import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { accountSql, passwordSql, readTraits } from '../db/database-account.js'
import type { Provisioner } from '../db/provisioner.js'
import { affectedBy, rowsOf } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import { insertAudit, recordAudit } from '../events/audit-store.js'
import { getServerById } from '../servers/database-server-store.js'
import type { Tenant } from '../tenants/tenant.js'

type LoginRow = {
  id: string
  server_id: string
  database_user: string
  credentials_generation: number
}

export type Renewed = {
  readonly tenantLogins: number
  readonly webhookSecrets: number
  readonly serverLogins: number
}

/**
 * Moves what hangs on an earlier application key to the current one: tenants' logins get another
 * password, webhook secrets and the logins of
 * database servers are sealed anew. Each is done by itself; a run that is cut off is run again.
 * Between a login's change and its row's there is a moment in which new connections of that tenant are
 * refused and tried again; connections that are open stay.
 */
export async function renewSecrets(ctx: Context, keyId: string): Promise<Renewed> {
  return {
    tenantLogins: await renewLogins(ctx, keyId),
    webhookSecrets: await resealSecrets(ctx, keyId),
    serverLogins: await resealServerLogins(ctx, keyId),
  }
}

async function renewLogins(ctx: Context, keyId: string): Promise<number> {
  const tenants = await rowsOf<LoginRow>(
    ctx.platform,
    "select id, server_id, database_user, credentials_generation from tenants where credentials_key_id = ? and status <> 'archived' order by id",
    [keyId],
  )
  for (const tenant of tenants) {
    const provisioner = await ctx.provisioner(await getServerById(ctx.platform, tenant.server_id))
    await renewLogin(ctx, provisioner, {
      id: tenant.id,
      databaseUser: tenant.database_user,
      credentialsGeneration: tenant.credentials_generation,
      credentialsKeyId: keyId,
    })
  }
  return tenants.length
}

/** Gives a tenant's login the password of the current application key. Doesn't need the earlier key. */
export async function renewLogin(
  ctx: Context,
  provisioner: Provisioner,
  tenant: Pick<Tenant, 'id' | 'databaseUser' | 'credentialsGeneration' | 'credentialsKeyId'>,
): Promise<void> {
  const password = ctx.keyring.tenantPassword(tenant.id, tenant.credentialsGeneration)
  const account = { user: tenant.databaseUser, host: ctx.config.tenantUserHost, password }
  const traits = await readTraits(provisioner)
  await provisioner.run(`${accountSql(traits, account)}; ${passwordSql(traits, account)}`)
  await inTransaction(ctx.platform, async (transaction) => {
    const at = ctx.now()
    await affectedBy(
      transaction,
      'update tenants set credentials_key_id = ?, updated_at = ? where id = ? and credentials_key_id = ?',
      [ctx.keyring.currentId, at, tenant.id, tenant.credentialsKeyId],
    )
    await insertAudit(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      action: 'tenant.login_renewed',
      objectType: 'tenant',
      objectId: tenant.id,
      tenantId: tenant.id,
    })
  })
}

/** The signing secrets, and those that still sign beside them while a rotation lasts. */
async function resealSecrets(ctx: Context, keyId: string): Promise<number> {
  const rows = await rowsOf<{
    id: string
    tenant_id: string
    secret: string
    previous: string | null
  }>(
    ctx.platform,
    `select id, tenant_id, secret_encrypted as secret, previous_secret_encrypted as previous from webhook_endpoints
      where secret_encrypted like ? or previous_secret_encrypted like ? order by id`,
    [`v1.${keyId}.%`, `v1.${keyId}.%`],
  )
  for (const { id, tenant_id: tenantId, secret, previous } of rows) {
    const reseal = (sealed: string) => ctx.keyring.encrypt(ctx.keyring.decrypt(sealed, id), id)
    await inTransaction(ctx.platform, async (transaction) => {
      const changed = await affectedBy(
        transaction,
        `update webhook_endpoints set secret_encrypted = ?, previous_secret_encrypted = ?
          where id = ? and secret_encrypted = ? and previous_secret_encrypted <=> ?`,
        [reseal(secret), previous === null ? null : reseal(previous), id, secret, previous],
      )
      if (changed === 0) return
      await recordAudit(transaction, ctx, tenantId, {
        at: ctx.now(),
        action: 'webhook_endpoint.secret_resealed',
        objectType: 'webhook_endpoint',
        objectId: id,
      })
    })
  }
  return rows.length
}

/** Only the provisioner may read these, and it alone uses them. */
async function resealServerLogins(ctx: Context, keyId: string): Promise<number> {
  const provisioner = await ctx.provisioner()
  return provisioner.withDatabase(ctx.config.platformDatabase, async (db: PlatformDb) => {
    const rows = await rowsOf<{ id: string; sealed: string }>(
      db,
      'select id, provisioner_login_encrypted as sealed from database_servers where provisioner_login_encrypted like ?',
      [`v1.${keyId}.%`],
    )
    for (const { id, sealed } of rows) {
      await inTransaction(db, async (transaction) => {
        const changed = await affectedBy(
          transaction,
          'update database_servers set provisioner_login_encrypted = ? where id = ? and provisioner_login_encrypted = ?',
          [ctx.keyring.encrypt(ctx.keyring.decrypt(sealed, id), id), id, sealed],
        )
        if (changed === 0) return
        await recordAudit(transaction, ctx, null, {
          at: ctx.now(),
          action: 'database_server.login_resealed',
          objectType: 'database_server',
          objectId: id,
        })
      })
    }
    return rows.length
  })
}
