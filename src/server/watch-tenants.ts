import type { Context } from '../core/context.js'
import { listPlaces } from '../core/tenants/tenant-store.js'

const EVERY_MS = 500

/**
 * Closes, within a second, the connections of tenants that another process suspended, moved or gave
 * new credentials. It asks only about tenants that hold a connection here: one statement, however
 * large the fleet.
 */
export function watchTenants(ctx: Context): () => void {
  let asking = false
  const seen = new Map<string, string>()
  const look = async (): Promise<void> => {
    const bound = ctx.tenantDatabases.boundTenants()
    if (asking || bound.length === 0) return
    asking = true
    try {
      const places = await listPlaces(ctx.platform, bound)
      for (const tenantId of bound) {
        const now = places.get(tenantId)
        if (now === undefined || !now.isOpen || (seen.get(tenantId) ?? now.place) !== now.place)
          ctx.tenantDatabases.close(tenantId)
        if (now) seen.set(tenantId, now.place)
      }
      for (const tenantId of seen.keys()) if (!bound.includes(tenantId)) seen.delete(tenantId)
    } catch (error) {
      ctx.log.warn('the tenants could not be watched', { error })
    } finally {
      asking = false
    }
  }
  const timer = setInterval(() => void look(), EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}
