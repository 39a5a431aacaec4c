import { randomBytes } from 'node:crypto'
import type { Context } from '../context.js'
import { keyIdOf } from '../crypto/keyring.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'

/** What the key of the chain is called among the platform's settings; it is sealed under the application key. */
const AUDIT_KEY = 'audit_key'

/**
 * The key of the chain: made by `init`, once, so that the chain outlives rotations of the application key.
 *
 * @throws PLATFORM.OUTDATED where `init` has not made it yet
 */
export async function readAuditKey(ctx: Context): Promise<Buffer> {
  const row = await ctx.platform('platform_settings').first('value').where({ name: AUDIT_KEY })
  if (!row) throw new AppError('PLATFORM.OUTDATED', ctx.config.platformDatabase)
  return Buffer.from(ctx.keyring.decrypt(row.value, AUDIT_KEY), 'base64')
}

/**
 * Makes the key where there is none, and seals it anew where the application key is another by now. Of two at once
 * the first one's key stays.
 *
 * @param db under the provisioner's login: the runtime login may only read it
 */
export async function ensureAuditKey(ctx: Context, db: PlatformDb): Promise<void> {
  const at = ctx.now()
  const settings = () => db('platform_settings')
  const row = await settings().first('value').where({ name: AUDIT_KEY })
  if (!row) {
    const value = ctx.keyring.encrypt(randomBytes(32).toString('base64'), AUDIT_KEY)
    await settings().insert({ name: AUDIT_KEY, value, updated_at: at }).onConflict('name').ignore()
    return
  }
  if (keyIdOf(row.value) === ctx.keyring.currentId) return
  const value = ctx.keyring.encrypt(ctx.keyring.decrypt(row.value, AUDIT_KEY), AUDIT_KEY)
  await inTransaction(db, async (transaction) => {
    const changed = await transaction('platform_settings')
      .where({ name: AUDIT_KEY, value: row.value })
      .update({ value, updated_at: at })
    if (changed === 0) return
    await recordAudit(transaction, ctx, null, {
      at,
      action: 'platform.audit_key_resealed',
      objectType: 'platform',
      objectId: AUDIT_KEY,
    })
  })
}
