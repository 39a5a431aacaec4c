import { readFileSync } from 'node:fs'
import { readServiceUrl } from '../service-url.js'

/** Where a database server listens, and how to talk to it. */
export type ServerAddress = {
  readonly host: string
  readonly port: number
  /** A unix socket; host and port then only name the server in messages. */
  readonly socketPath?: string | undefined
  /** PEM of the CA to verify against, `true` for the system's CAs, undefined for no TLS. */
  readonly tls?: string | true | undefined
}

export type Login = { readonly user: string; readonly password: string }

export type TlsSettings = {
  readonly databaseTls?: 'verify' | 'off' | undefined
  readonly databaseCa?: string | undefined
}

/** `mysql://user:password@host:port`, or `mysql://user@localhost?socket=/path` for a unix socket. */
export function parseDatabaseUrl(
  text: string,
  tls: TlsSettings,
): { address: ServerAddress; login: Login } {
  const { user, password, host, port = 3306, parameters } = readServiceUrl(text)
  const socketPath = parameters.get('socket') ?? undefined
  return { login: { user, password }, address: addressOf({ host, port, socketPath }, tls) }
}

/** Adds the TLS rule: verified by default for every server that is not on this machine. */
export function addressOf(
  { host, port, socketPath }: { host: string; port: number; socketPath?: string | undefined },
  { databaseTls, databaseCa }: TlsSettings,
): ServerAddress {
  const local = socketPath !== undefined || /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host)
  const verify = databaseTls === 'verify' || (databaseTls !== 'off' && !local)
  const tls = verify
    ? databaseCa === undefined
      ? true
      : readFileSync(databaseCa, 'utf8')
    : undefined
  return { host, port, socketPath, tls }
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
