import { type AppKeyStatus, keyringStatus } from '../access/keyring-status.js'
import type { Context } from '../context.js'
import type { Examined } from './examine-installation.js'

const area = 'application keys'

/** Looks for what depends on application keys that aren't configured, and for rotations that aren't finished. */
export async function examineAppKeys(ctx: Context): Promise<Examined[]> {
  const keys = await keyringStatus(ctx)
  return keys.flatMap((status) => {
    if (status.role === 'unknown') return [unknownKey(status)]
    return status.role === 'previous' ? [previousKey(status)] : []
  })
}

function unknownKey({ keyId, ...counts }: AppKeyStatus): Examined {
  const dead = named(counts)
  if (dead === '')
    return {
      area,
      state: 'warning',
      says: `the runtime login of application key ${keyId}, which is not configured, still exists`,
      next: `validonx keyring retire ${keyId}`,
    }
  return {
    area,
    state: 'fault',
    says: `${dead} cannot be used: application key ${keyId} is not configured`,
    next: 'put that key back into VALIDONX_APP_PREVIOUS_KEYS; "validonx keyring status" lists what needs it',
  }
}

const previousKey = ({ keyId, ...counts }: AppKeyStatus): Examined => ({
  area,
  state: 'ok',
  says: `a rotation is under way: ${named(counts) || 'nothing'} still on ${keyId}`,
})

/** `3 API keys, 1 tenant login`; omits zero counts. */
const named = (counts: Omit<AppKeyStatus, 'keyId' | 'role'>): string =>
  (
    [
      [counts.apiKeys, 'API key'],
      [counts.tenantLogins, 'tenant login'],
      [counts.webhookSecrets, 'webhook secret'],
      [counts.serverLogins ?? 0, 'database server login'],
      [counts.auditKeys, 'audit chain key'],
    ] as const
  )
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}${count === 1 ? '' : 's'}`)
    .join(', ')
