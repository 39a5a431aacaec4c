import type { ServerAddress } from '../db/server-address.js'
import type { TlsSettings } from '../db/tls.js'

/** A MySQL-protocol server that holds tenant databases. */
export type DatabaseServer = {
  readonly id: string
  readonly name: string
  /** Undefined for the server that holds the platform database: its address is in the configuration. */
  readonly address: Pick<ServerAddress, 'host' | 'port' | 'socketPath'> | undefined
  /** What differs from the configuration's settings of TLS. */
  readonly tls: TlsSettings
  /** How many tenants it is meant to hold. */
  readonly capacity: number
  readonly acceptsTenants: boolean
  readonly version: string
  readonly createdAt: Date
}

/** The name under which `init` registers the server of the platform database. */
export const FIRST_SERVER = 'primary'
