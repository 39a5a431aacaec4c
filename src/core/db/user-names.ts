import { createHash } from 'node:crypto'

/** MySQL ends a user's name at 32 characters. */
const LONGEST = 32

/** The database user of one tenant: `vx_` and its id in base 36, 28 characters. */
export const tenantUser = (tenantId: string): string =>
  `vx_${BigInt(`0x${tenantId.replaceAll('-', '')}`)
    .toString(36)
    .padStart(25, '0')}`

/**
 * The runtime login of one platform under one application key. Several platforms may share a server, and
 * while the key is rotated, processes of both keys must be able to log in.
 */
export const runtimeUser = (platformDatabase: string, keyId: string): string =>
  `${platformDatabase.slice(0, 20)}_rt_${createHash('sha256').update(`${platformDatabase}/${keyId}`).digest('hex').slice(0, 8)}`

/** Its name before there was one for each application key. */
export function formerRuntimeUser(platformDatabase: string): string {
  const name = `${platformDatabase}_rt`
  if (name.length <= LONGEST) return name
  return `${platformDatabase.slice(0, 20)}_rt_${createHash('sha256').update(platformDatabase).digest('hex').slice(0, 8)}`
}
