import { endSessionsIn } from '../fleet/end-sessions.js'
import type { Job } from './stage.js'

/**
 * Makes sure that nothing which a dead process sent is still being done in the tenant's database.
 *
 * @throws LEASE.LOST; LEASE.HELD where a session does not end
 */
export async function endLeftOverSessions({ provisioner, tenant, lease }: Job): Promise<void> {
  // a process that slept past its lease would end those of its successor
  await lease.confirm()
  await endSessionsIn(provisioner, new Set([tenant.database]))
}
