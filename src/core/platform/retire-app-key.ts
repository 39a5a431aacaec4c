import { assertRetirable } from '../access/keyring-status.js'
import type { Context } from '../context.js'
import { AppError } from '../errors.js'
import { type Renewed, renewSecrets } from '../fleet/renew-secrets.js'
import { countRuntimeSessions, dropRuntimeLogin } from './runtime-logins.js'

/**
 * Moves everything that can be moved off an earlier application key, drops its runtime login, and
 * confirms that nothing depends on the key any more. It can be repeated, and finishes what was cut off.
 *
 * @throws KEYRING.UNKNOWN, KEYRING.IN_USE while API keys or running processes still depend on the key
 */
export async function retireAppKey(ctx: Context, keyId: string): Promise<Renewed> {
  const isPrevious = ctx.keyring.has(keyId) && keyId !== ctx.keyring.currentId
  const renewed = isPrevious
    ? await renewSecrets(ctx, keyId)
    : { tenantLogins: 0, webhookSecrets: 0, serverLogins: 0 }
  await assertRetirable(ctx, keyId)
  const sessions = await countRuntimeSessions(ctx, keyId)
  if (sessions > 0) {
    const what = `${sessions} open database session${sessions === 1 ? '' : 's'} of processes with its VALIDONX_RUNTIME_URL`
    throw new AppError('KEYRING.IN_USE', keyId, what).with({ runtime_sessions: sessions })
  }
  await dropRuntimeLogin(ctx, keyId)
  return renewed
}
