import type { Plan } from '../billing/plan.js'
import { getPlanByCode, getPlanById } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { tenantUser } from '../db/user-names.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { addMembership } from '../identity/change-members.js'
import { addUser } from '../identity/create-user.js'
import { findUserByEmail, lockUserByEmail } from '../identity/user-store.js'
import { newId } from '../ids.js'
import { getServerByName, pickServer } from '../servers/database-server-store.js'
import { databaseNameOf, nameFromSlug, type Tenant } from '../tenants/tenant.js'
import { findTenant, insertTenant } from '../tenants/tenant-store.js'
import type { ProvisionTenantWish } from './provision-tenant.js'

const DEFAULT_PLAN = 'starter'

/**
 * Writes the tenant down, with its owner's membership, and answers the row. Of two at once one writes
 * and the other finds it (`isNew` false): the unique index decides.
 *
 * @throws PLAN.NOT_FOUND, SERVER.NOT_FOUND
 */
export async function registerTenant(
  ctx: Context,
  wish: ProvisionTenantWish,
): Promise<{ tenant: Tenant; plan: Plan; isNew: boolean }> {
  const plan = await getPlanByCode(ctx.platform, wish.plan ?? DEFAULT_PLAN)
  const server =
    wish.server === undefined
      ? await pickServer(ctx.platform)
      : await getServerByName(ctx.platform, wish.server)
  // without the login that makes databases nothing is written down
  await ctx.provisioner(server)
  const at = ctx.now()
  const id = newId()
  const tenant: Tenant = {
    id,
    slug: wish.slug,
    name: wish.name ?? nameFromSlug(wish.slug),
    status: 'provisioning',
    statusReason: undefined,
    planId: plan.id,
    serverId: server.id,
    database: databaseNameOf(ctx.config.tenantPrefix, wish.slug),
    databaseUser: tenantUser(id),
    credentialsKeyId: ctx.keyring.currentId,
    credentialsGeneration: 1,
    activatedAt: undefined,
    suspendedAt: undefined,
    createdAt: at,
  }
  try {
    await inTransaction(ctx.platform, async (transaction) => {
      await insertTenant(transaction, tenant)
      await insertAudit(transaction, {
        occurredAt: at,
        actor: ctx.actor,
        action: 'tenant.created',
        objectType: 'tenant',
        objectId: id,
        tenantId: id,
        changes: {
          after: { slug: tenant.slug, name: tenant.name, plan: plan.code, server: server.name },
        },
      })
      if (wish.ownerEmail !== undefined) await addOwner(ctx, transaction, id, wish.ownerEmail)
    })
    return { tenant, plan, isNew: true }
  } catch (error) {
    const other = isFailure(error, 'duplicate')
      ? await findTenant(ctx.platform, wish.slug)
      : undefined
    if (other)
      return {
        tenant: other,
        plan: await getPlanById(ctx.platform, other.planId),
        isNew: false,
      }
    throw error
  }
}

/** The owner may be a user already; a new one has no password until an operator sets it. */
async function addOwner(
  ctx: Context,
  db: PlatformDb,
  tenantId: string,
  email: string,
): Promise<void> {
  const of = { email, name: email.split('@')[0] ?? email, isVerified: false }
  const user =
    (await findUserByEmail(db, email)) ??
    (await addUser(ctx, db, of).catch(async (error: unknown) => {
      // another process has made the user since; after any other error the transaction is over
      if (!(error instanceof AppError) || error.code !== 'USER.EXISTS') throw error
      const other = await lockUserByEmail(db, email)
      if (!other) throw error
      return other
    }))
  await addMembership(ctx, db, { tenantId, user, role: 'owner' })
}
