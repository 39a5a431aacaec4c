import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { checkServerIdentity, connect, createSecureContext } from 'node:tls'
import { loadPem, readCertificates, readKey } from '../tls-files.js'

/** "verify" checks the certificate's CA and its names, "verify-ca" its CA alone, "off" is plain text. */
export const TLS_LEVELS = ['verify', 'verify-ca', 'off'] as const

/** The files are PEM: CAs to trust instead of the system's, and our own certificate with its key. */
export type TlsSettings = {
  readonly databaseTls?: (typeof TLS_LEVELS)[number] | undefined
  readonly databaseCa?: string | undefined
  readonly databaseCert?: string | undefined
  readonly databaseKey?: string | undefined
}

/** One server's settings, completed by those of the configuration. A certificate goes with its own key. */
export const withDefaults = (own: TlsSettings, defaults: TlsSettings): TlsSettings => ({
  databaseTls: own.databaseTls ?? defaults.databaseTls,
  databaseCa: own.databaseCa ?? defaults.databaseCa,
  databaseCert: own.databaseCert ?? defaults.databaseCert,
  databaseKey: own.databaseCert ? own.databaseKey : defaults.databaseKey,
})

/** What mysql2 takes as `ssl`, and how the connection is made secure. */
export type Tls = {
  readonly verifyIdentity: boolean
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly startTls: (driver: DriverConnection, onSecure: (error?: Error) => void) => void
}

/** Members of mysql2's connection that its types leave out. */
export type DriverConnection = {
  stream: Duplex
  readonly packetParser: { execute(data: Buffer): void }
  _handleNetworkError(error: Error): void
}

/** How to reach a server by TLS. @throws CONFIG.TLS_FILE if a file can't be used */
export function createTls(
  { host, port }: { readonly host: string; readonly port: number },
  { databaseTls, databaseCa, databaseCert, databaseKey }: TlsSettings,
): Tls {
  const verifyIdentity = databaseTls !== 'verify-ca'
  const ca = databaseCa && loadPem(databaseCa, readCertificates)
  const cert = databaseCert && loadPem(databaseCert, readCertificates)
  const key = databaseKey && loadPem(databaseKey, readKey)
  const secureContext = createSecureContext({ ca, cert, key })
  // certificates know neither the zone of an address nor the dot that ends a name
  const name = host.replace(/%.*$/, '').replace(/\.$/, '')

  return {
    verifyIdentity,
    ca,
    cert,
    key,
    startTls(driver, onSecure) {
      let isSecure = false
      driver.stream.removeAllListeners('data')
      const secure = connect({
        socket: driver.stream,
        secureContext,
        rejectUnauthorized: true,
        ...(isIP(name) ? {} : { servername: name }),
        checkServerIdentity: (_, certificate) =>
          verifyIdentity ? checkServerIdentity(name, certificate) : undefined,
      })
      secure.once('secureConnect', () => {
        isSecure = true
        onSecure()
      })
      secure.on('error', (error) => {
        if (isSecure) driver._handleNetworkError(error)
        // the driver gives the error that it gets a code of its own, so it gets one that may be changed
        else
          onSecure(
            Object.assign(new Error(error.message, { cause: error }), { address: host, port }),
          )
      })
      secure.on('data', (data) => driver.packetParser.execute(data))
      driver.stream = secure
    },
  }
}
