import { readServiceUrl } from '../service-url.js'
import { createTls, type Tls, type TlsSettings } from './tls.js'

/** Where a database server listens, and how to talk to it. */
export type ServerAddress = {
  readonly host: string
  readonly port: number
  /** A unix socket; host and port then only name the server in messages. */
  readonly socketPath?: string | undefined
  /** Undefined for no TLS. */
  readonly tls?: Tls | undefined
}

export type Login = { readonly user: string; readonly password: string }

/** `mysql://user:password@host:port`, or `mysql://user@localhost?socket=/path` for a unix socket. */
export function parseDatabaseUrl(
  text: string,
  tls: TlsSettings,
): { address: ServerAddress; login: Login } {
  const { user, password, host, port = 3306, parameters } = readServiceUrl(text)
  const socketPath = parameters.get('socket') ?? undefined
  return { login: { user, password }, address: addressOf({ host, port, socketPath }, tls) }
}

/**
 * Adds the TLS rule. Without a level, TLS is verified for every server that is not on this machine, and
 * for those on this machine if there is a CA or a certificate of ours. A unix socket never needs it.
 *
 * @throws CONFIG.TLS_FILE if a file of the settings can't be used
 */
export function addressOf(
  { host, port, socketPath }: { host: string; port: number; socketPath?: string | undefined },
  settings: TlsSettings,
): ServerAddress {
  const { databaseTls, databaseCa, databaseCert } = settings
  const isLocal = /^(localhost\.?|127\.\d+\.\d+\.\d+|::1)(%.*)?$/.test(host)
  const isWanted =
    databaseTls === undefined ? !isLocal || databaseCa || databaseCert : databaseTls !== 'off'
  return {
    host,
    port,
    socketPath,
    tls: isWanted && socketPath === undefined ? createTls({ host, port }, settings) : undefined,
  }
}

/** For messages: never a login. */
export const describeAddress = ({ host, port, socketPath }: ServerAddress): string =>
  socketPath ?? (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

export function formatDatabaseUrl(
  { host, port, socketPath }: ServerAddress,
  { user, password }: Login,
): string {
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return socketPath === undefined
    ? `mysql://${login}@${host.includes(':') ? `[${host.replace('%', '%25')}]` : host}:${port}`
    : `mysql://${login}@localhost?socket=${encodeURIComponent(socketPath)}`
}
