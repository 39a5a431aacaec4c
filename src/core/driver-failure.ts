/**
 * What an error of the database driver means, told by errno and phase. Never by its `code` text
 * alone, which mislabels several of MariaDB's numbers.
 */
export type FailureKind =
  | 'unreachable' // nothing was sent: a retry is safe
  | 'too many connections' // nothing was sent: a retry is safe
  | 'transaction rolled back' // retry the whole transaction
  | 'statement rolled back' // roll back, then retry the whole transaction
  | 'connection lost' // ambiguous: the work may or may not be done
  | 'access denied'
  | 'privilege missing'
  | 'tls'
  | 'disk full'
  | 'already there'
  | 'duplicate'
  | 'referenced' // other rows point at it
  | 'missing'
  | 'incomparable' // text with characters that the column's set lacks
  | 'other'

export type DriverFailure = {
  readonly kind: FailureKind
  readonly errno: number | undefined
  /** A server or login, as far as the driver tells. */
  readonly where: string
  /** The server's own words, without any statement or bound value. */
  readonly sentence: string
}

type DriverError = {
  name?: unknown
  errno?: unknown
  code?: unknown
  sqlMessage?: unknown
  sqlState?: unknown
  address?: unknown
  port?: unknown
  fatal?: unknown
  message?: unknown
  cause?: unknown
}

const BY_ERRNO: Readonly<Record<number, FailureKind>> = {
  1040: 'too many connections',
  1203: 'too many connections',
  1226: 'too many connections',
  1205: 'statement rolled back',
  1969: 'statement rolled back',
  3024: 'statement rolled back',
  1317: 'statement rolled back',
  // MariaDB, where several sessions are the first to write to a new table
  1467: 'statement rolled back',
  1213: 'transaction rolled back',
  1020: 'transaction rolled back',
  1053: 'connection lost',
  1927: 'connection lost',
  2006: 'connection lost',
  2013: 'connection lost',
  4031: 'connection lost',
  1045: 'access denied',
  1698: 'access denied',
  1044: 'privilege missing',
  1142: 'privilege missing',
  1143: 'privilege missing',
  1227: 'privilege missing',
  1410: 'privilege missing',
  1021: 'disk full',
  1114: 'disk full',
  1007: 'already there',
  1050: 'already there',
  1061: 'already there',
  1396: 'already there',
  1062: 'duplicate',
  1451: 'referenced',
  1049: 'missing',
  1146: 'missing',
  1267: 'incomparable',
  3988: 'incomparable',
}

const BY_CODE: Readonly<Record<string, FailureKind>> = {
  ECONNREFUSED: 'unreachable',
  ENOENT: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ETIMEDOUT: 'unreachable',
  PROTOCOL_CONNECTION_LOST: 'connection lost',
  ECONNRESET: 'connection lost',
  EPIPE: 'connection lost',
  HANDSHAKE_NO_SSL_SUPPORT: 'tls',
  HANDSHAKE_SSL_ERROR: 'tls',
}

/** The driver's failure behind a thrown value (or behind its causes), or undefined where it is none. */
export function causeOf(thrown: unknown): DriverFailure | undefined {
  for (
    let error = thrown, depth = 0;
    isObject(error) && depth < 5;
    error = error.cause, depth += 1
  ) {
    const failure = read(error)
    if (failure) return failure
  }
  return undefined
}

export const isFailure = (thrown: unknown, ...kinds: readonly FailureKind[]): boolean => {
  const failure = causeOf(thrown)
  return failure !== undefined && kinds.includes(failure.kind)
}

function read(error: DriverError): DriverFailure | undefined {
  const errno = typeof error.errno === 'number' && error.errno > 0 ? error.errno : undefined
  const code = typeof error.code === 'string' ? error.code : ''
  const fromServer = typeof error.sqlState === 'string' || typeof error.sqlMessage === 'string'
  const message = typeof error.message === 'string' ? error.message : ''
  // the driver marks what ended a connection; a file or a pipe of ours may fail with the same codes
  const endedConnection = error.fatal === true
  const kind =
    (error.name === 'KnexTimeoutError' ? 'too many connections' : undefined) ??
    (errno !== undefined && fromServer ? BY_ERRNO[errno] : undefined) ??
    (endedConnection ? (isTls(code, message) ? 'tls' : BY_CODE[code]) : undefined) ??
    (/connection is in closed state|Connection lost/.test(message)
      ? 'connection lost'
      : undefined) ??
    (fromServer ? 'other' : undefined)
  if (!kind) return undefined
  const said = typeof error.sqlMessage === 'string' ? error.sqlMessage : ''
  return { kind, errno, where: whereOf(error, said), sentence: said || code }
}

const isTls = (code: string, message: string): boolean =>
  /^(ERR_TLS|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(GET|VERIFY))/.test(code) ||
  /does not support secure connection|certificate/i.test(message)

/** A login as the server names it ('user'@'host'), else an address, else a plain phrase. */
function whereOf(error: DriverError, said: string): string {
  const login = /'[^']*'@'[^']*'/.exec(said)?.[0]
  if (login) return login
  if (typeof error.address !== 'string') return 'the configured address'
  return typeof error.port === 'number' ? `${error.address}:${error.port}` : error.address
}

const isObject = (value: unknown): value is DriverError =>
  typeof value === 'object' && value !== null
