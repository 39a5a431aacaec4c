import { createHash } from 'node:crypto'

/** MySQL ends a user's name at 32 characters. */
const LONGEST = 32

/** The database user of one tenant: `vx_` and its id in base 36, 28 characters. */
export const tenantUser = (tenantId: string): string =>
  `vx_${BigInt(`0x${tenantId.replaceAll('-', '')}`)
    .toString(36)
    .padStart(25, '0')}`

/** The runtime login of one platform, named after its database: several may share a server. */
export function runtimeUser(platformDatabase: string): string {
  const name = `${platformDatabase}_rt`
  if (name.length <= LONGEST) return name
  return `${platformDatabase.slice(0, 20)}_rt_${createHash('sha256').update(platformDatabase).digest('hex').slice(0, 8)}`
}
