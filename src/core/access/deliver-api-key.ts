import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import type { ApiKey } from './api-key.js'
import { setApiKeyDelivered } from './api-key-store.js'
import { endApiKey } from './revoke-api-key.js'

/**
 * Shows a key that was just made, the only time it can be shown. A key that couldn't be shown is
 * revoked, since nobody has it.
 *
 * @param confirm runs in the transaction that records the key as shown
 * @throws what `show` throws; API_KEY.REVOKED_WHILE_SHOWN if the key was revoked in the meantime
 */
export async function deliverApiKey(
  ctx: Context,
  key: ApiKey,
  show: () => Promise<void>,
  confirm: (transaction: PlatformDb, at: Date) => Promise<void> = async () => {},
): Promise<void> {
  try {
    await show()
  } catch (error) {
    await revokeUnseen(ctx, key)
    throw error
  }
  await inTransaction(ctx.platform, async (transaction) => {
    const at = ctx.now()
    if (!(await setApiKeyDelivered(transaction, key.id, at)))
      throw new AppError('API_KEY.REVOKED_WHILE_SHOWN', key.prefix)
    await confirm(transaction, at)
  })
}

/** If this fails too, the key stays recorded as never shown, and `apikey list` says so. */
async function revokeUnseen(ctx: Context, key: ApiKey): Promise<void> {
  try {
    await inTransaction(ctx.platform, (transaction) => endApiKey(ctx, transaction, key, ctx.now()))
  } catch (error) {
    ctx.log.error('an API key that could not be shown could not be revoked either: revoke it', {
      key: key.prefix,
      error,
    })
  }
}
