import { createRequire } from 'node:module'
import type { DriverConnection, Tls } from './tls.js'

const load = createRequire(import.meta.url)

/** Loaded at first use: the two take 0.15 s, which `validonx --help` need not wait for. */
export const loadKnex = (): typeof import('knex').knex => {
  loadMysql()
  return load('knex').knex
}

export const loadMysql = (): typeof import('mysql2') => {
  const mysql = load('mysql2')
  verifyAddresses(mysql.Connection.prototype)
  return mysql
}

type Startable = { startTLS(onSecure: (error?: Error) => void): void }

/**
 * Replaces the driver's TLS handshake by ours, for its pools and Knex's too. The driver gives Node no
 * name for a server that is addressed by IP, and Node then checks the certificate for "localhost".
 */
function verifyAddresses(connection: Startable): void {
  if (typeof connection.startTLS !== 'function')
    throw new Error('mysql2 has no startTLS to replace: see docs/adr/0016-tls.md')
  connection.startTLS = function (
    this: DriverConnection & { readonly config: { readonly ssl: Tls } },
    onSecure,
  ) {
    this.config.ssl.startTls(this, onSecure)
  }
}
