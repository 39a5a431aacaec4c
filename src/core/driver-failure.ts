import { scrub } from './scrub.js'

/**
 * What an error of the database driver means. Classified by errno, SQLSTATE and phase, never by the
 * driver's `code`, which mislabels several of MariaDB's numbers. Of the servers' error tables only
 * mistakes in a statement are our fault ("other"): `tests/core/driver-failure.unit.test.ts` goes
 * through both tables.
 */
export type FailureKind =
  | 'unreachable' // nothing was sent: a retry is safe
  | 'too many connections' // nothing was sent: a retry is safe
  | 'not ready' // the node refused the statement without running it: a retry is safe
  | 'transaction rolled back' // retry the whole transaction
  | 'statement rolled back' // roll back, then retry the whole transaction
  | 'connection lost' // ambiguous: the work may or may not be done
  | 'outcome unknown' // COMMIT failed in a way that does not say whether it took effect
  | 'access denied'
  | 'account locked'
  | 'password expired'
  | 'host refused'
  | 'authentication unsupported'
  | 'password refused' // by the server's password policy
  | 'privilege missing'
  | 'tls'
  | 'read only'
  | 'disk full'
  | 'out of resources' // memory, threads, files, prepared statements
  | 'too large' // for a packet, a transaction cache or a log
  | 'damaged' // a table, an index or a file of the server
  | 'refused' // the server's state or settings, whatever they are
  | 'already there'
  | 'duplicate'
  | 'referenced' // other rows point at it
  | 'missing'
  | 'incomparable' // text with characters that the column's set lacks
  | 'other' // a mistake in a statement

export type DriverFailure = {
  readonly kind: FailureKind
  readonly errno: number | undefined
  /** A login or server, as far as the error names one. */
  readonly where: string
  /** The login that the server names ('user'@'host'); it leaves it out of many errors. */
  readonly login: string | undefined
  /** The server's own words, scrubbed: some quote a part of the statement. */
  readonly sentence: string
  /** What failed, if `kind` is "tls", and the names in the server's certificate if they were the reason. */
  readonly tls?: { readonly check: TlsCheck; readonly names: readonly string[] }
}

/** What keeps a TLS connection from being made. */
export type TlsCheck =
  | 'no tls'
  | 'name'
  | 'issuer'
  | 'self-signed'
  | 'expired'
  | 'not yet valid'
  | 'client certificate'
  | 'required'
  | 'other'

type DriverError = {
  name?: unknown
  errno?: unknown
  code?: unknown
  sqlMessage?: unknown
  sqlState?: unknown
  address?: unknown
  port?: unknown
  fatal?: unknown
  syscall?: unknown
  message?: unknown
  cause?: unknown
  cert?: unknown
}

type Rule = readonly [
  kind: FailureKind,
  numbers: readonly number[],
  /** For numbers that MySQL and MariaDB use differently, or for several things. */
  words?: RegExp,
]

/** The first rule that names the number, and whose words match, decides. */
const BY_ERRNO: readonly Rule[] = [
  ['too many connections', [1040, 1203, 1226]],
  ['not ready', [3032, 3168, 3781, 3783, 3796, 3797, 3798, 3799]],
  ['not ready', [4049, 4094], /primary|secondary/i],
  // a node that is not in its cluster; MySQL uses the number for an unknown command
  ['not ready', [1047]],
  // 1020: MariaDB's innodb_snapshot_isolation
  ['transaction rolled back', [1020, 1213, 3101]],
  // 1412: another session changed the table; 1467: the first to write to a new table (MariaDB)
  ['statement rolled back', [1205, 1297, 1317, 1412, 1467, 1615, 1689, 1969, 3572]],
  ['statement rolled back', [3024], /execution time/i],
  ['connection lost', [1053, 1927, 2006, 2013, 3169]],
  ['connection lost', [4031], /disconnected/i],
  ['outcome unknown', [1180, 3100]],
  ['account locked', [3118, 3955]],
  ['account locked', [4150, 4151], /account|user/i],
  ['access denied', [1045, 1698, 1873]],
  ['password expired', [1820, 1862]],
  ['host refused', [1042, 1129, 1130]],
  ['authentication unsupported', [1251, 1275, 1524]],
  ['authentication unsupported', [4052, 4053, 4058], /authentication|identified|plugin/i],
  ['password refused', [1819, 1827, 3638]],
  [
    'privilege missing',
    [1044, 1095, 1142, 1143, 1211, 1227, 1370, 1410, 1419, 3202, 3619, 3630, 3879, 3914],
  ],
  ['tls', [3159, 3160]],
  ['tls', [4167], /transport/i],
  ['read only', [1036, 1223, 1792, 1836, 1874, 1881, 3989]],
  ['read only', [1290, 4156], /read[-_ ]?only/i],
  // below 1000 are errors of the files layer: 3 and 20 are writes to a full disk
  ['disk full', [3, 20, 1021, 1114, 1530, 1811, 1878, 3019, 3675, 3873, 3884]],
  [
    'out of resources',
    [5, 1037, 1038, 1041, 1119, 1135, 1206, 1257, 1436, 1461, 1637, 3015, 3044, 3170, 3950, 3985],
  ],
  ['too large', [1153, 1197, 1301, 1705, 1713, 1799, 3068, 3231]],
  [
    'damaged',
    [
      1016, 1017, 1032, 1033, 1034, 1035, 1194, 1195, 1457, 1459, 1558, 1707, 1712, 1728, 1805,
      1812, 1814, 1817, 1877, 1932, 3000, 3009, 3510,
    ],
  ],
  // unknown engine, character set or setting; an index or a row too long for the page or row format;
  // too many rows for max_join_size; a command that the server has switched off
  ['refused', [1071, 1104, 1115, 1118, 1131, 1132, 1133, 1148, 1231, 1235, 1286, 1470]],
  ['already there', [1007, 1050, 1061, 1396]],
  ['duplicate', [1062, 1169, 1586, 1859]],
  ['referenced', [1217, 1451]],
  ['missing', [1049, 1146]],
  ['incomparable', [1267, 1270, 1271, 3988]],
]

/** What the operating system said, which the server passes on with many numbers of its own. */
const BY_SYSTEM_ERROR: readonly (readonly [FailureKind, RegExp])[] = [
  // 135 and 136 are the storage engines' own numbers for a full table or index file
  [
    'disk full',
    /\b(errno|errcode|error):? (28|122|135|136)\b|no space left|no more room in|quota exceeded/i,
  ],
  ['out of resources', /\b(errno|errcode|error):? (11|12|23|24)\b|too many open files/i],
  ['read only', /\b(errno|errcode|error):? 30\b|read-only file system/i],
]

const BY_SQLSTATE: Readonly<Record<string, FailureKind>> = {
  '08': 'connection lost',
  '28': 'access denied',
  '40': 'transaction rolled back',
  '53': 'out of resources',
  '54': 'too large',
  '57': 'not ready',
  '58': 'damaged',
  XA: 'refused',
  '70': 'statement rolled back',
  HY001: 'out of resources',
  '25006': 'read only',
  XA102: 'transaction rolled back',
  XA106: 'transaction rolled back',
}

/**
 * Numbers with the SQLSTATE HY000 that are mistakes in a statement. All others with that state are
 * the server's: its settings, plugins, files, replication.
 */
const MISTAKES: readonly (readonly [from: number, to: number])[] = [
  [1089, 1089], // keys, and what can be updated or combined
  [1093, 1093],
  [1096, 1097],
  [1099, 1102],
  [1108, 1111],
  [1116, 1117],
  [1137, 1137],
  [1168, 1168],
  [1191, 1192],
  [1204, 1204],
  [1210, 1215],
  [1220, 1221],
  [1224, 1225],
  [1228, 1233],
  [1238, 1243],
  [1245, 1246],
  [1272, 1272],
  [1276, 1276],
  [1283, 1283],
  [1288, 1288],
  [1291, 1295],
  [1299, 1300],
  [1302, 1306], // routines, views and triggers
  [1328, 1334],
  [1345, 1368],
  [1382, 1382],
  [1390, 1395],
  [1409, 1411],
  [1421, 1424],
  [1442, 1448],
  [1454, 1456],
  [1462, 1466],
  [1471, 1475],
  [1479, 1500], // partitions
  [1502, 1517],
  [1519, 1523],
  [1525, 1526],
  [1531, 1532],
  [1537, 1537],
  [1539, 1539],
  [1542, 1544],
  [1553, 1553],
  [1562, 1564],
  [1566, 1569],
  [1571, 1572],
  [1578, 1578],
  [1628, 1629],
  [1644, 1648],
  [1652, 1660],
  [1691, 1691],
  [1697, 1697],
  [1731, 1737],
  [1739, 1742],
  [1746, 1748],
  [1764, 1766],
  [1769, 1769],
  [1821, 1833], // foreign keys and forms of ALTER TABLE
  [1847, 1857],
  [1860, 1861],
  [1863, 1863],
  [1901, 1912], // MariaDB: generated columns, options
  [1919, 1926],
  [1977, 1977],
  [1980, 1981],
  [3011, 3014],
  [3025, 3029],
  [3033, 3043], // geometry
  [3045, 3055],
  [3064, 3066],
  [3069, 3073],
  [3087, 3088],
  [3102, 3109],
  [3122, 3129],
  [3134, 3134],
  [3504, 3515],
  [3573, 3602], // common tables and windows
  [3636, 3637],
  [3643, 3644],
  [3684, 3700], // regular expressions
  [3754, 3776],
  [3780, 3780],
  [3812, 3823],
  [3905, 3909],
  [3939, 3943],
  [3986, 3987],
  [3994, 3998],
]

/** Of errors that the driver makes itself, having lost or never had a connection. */
const BY_CODE: Readonly<Record<string, FailureKind>> = {
  ECONNREFUSED: 'unreachable',
  ENOENT: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ETIMEDOUT: 'unreachable',
  HANDSHAKE_NO_SSL_SUPPORT: 'tls',
  HANDSHAKE_SSL_ERROR: 'tls',
  AUTH_SWITCH_PLUGIN_ERROR: 'authentication unsupported',
  MYSQL_CLEAR_PASSWORD_NOT_ENABLED: 'authentication unsupported',
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

/** The driver's failure that an error itself is, whatever its causes are. */
export const ownFailureOf = (error: Error): DriverFailure | undefined => read(error)

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
    (fromServer ? kindOf(errno, stateOf(error), String(error.sqlMessage ?? message)) : undefined) ??
    (endedConnection ? clientKindOf(error, code) : undefined) ??
    (/connection is in closed state|Connection lost/.test(message) ? 'connection lost' : undefined)
  if (!kind) return undefined
  const said = typeof error.sqlMessage === 'string' ? error.sqlMessage : ''
  const login = /'[^']*'@'[^']*'/.exec(said)?.[0]
  return {
    kind,
    errno,
    where: login ?? addressOf(error) ?? 'the configured address',
    login,
    sentence: scrub(
      said || (kind === 'tls' && String(handshakeErrorOf(error).message ?? '')) || code,
    ),
    ...(kind === 'tls'
      ? { tls: fromServer ? { check: 'required', names: [] } : tlsFailureOf(error, code) }
      : {}),
  }
}

/** What an error that the server sent means. */
export function kindOf(errno: number | undefined, sqlState: string, sentence: string): FailureKind {
  const rule = BY_ERRNO.find(
    ([, numbers, words]) =>
      errno !== undefined && numbers.includes(errno) && (!words || words.test(sentence)),
  )
  if (rule) return rule[0]
  const system = BY_SYSTEM_ERROR.find(([, words]) => words.test(sentence))
  if (system) return system[0]
  const byState = BY_SQLSTATE[sqlState] ?? BY_SQLSTATE[sqlState.slice(0, 2)]
  if (byState) return byState
  const isGeneral = sqlState === 'HY000' || sqlState === ''
  const isMistake = MISTAKES.some(
    ([from, to]) => errno !== undefined && errno >= from && errno <= to,
  )
  return isGeneral && !isMistake ? 'refused' : 'other'
}

/** What an error means that the driver made itself when a connection ended or never came about. */
function clientKindOf(error: DriverError, code: string): FailureKind {
  // a server that went away during the handshake refused nothing, and nothing was sent
  const wentAway = /^(ECONN|EPIPE|ETIMEDOUT)/.test(String(handshakeErrorOf(error).code))
  if (code === 'HANDSHAKE_SSL_ERROR' && wentAway) return 'unreachable'
  if (/^ERR_SSL_/.test(code)) return 'tls'
  const known = BY_CODE[code]
  if (known) return known
  return error.syscall === 'connect' ? 'unreachable' : 'connection lost'
}

/** The driver leaves the SQLSTATE out of errors from before the login. */
const stateOf = ({ sqlState }: DriverError): string =>
  typeof sqlState === 'string' ? sqlState.replace('#', '') : ''

/** The driver gives errors of the handshake a code of its own; Node's error is their cause. */
const handshakeErrorOf = ({ cause }: DriverError): DriverError => (isObject(cause) ? cause : {})

const CHECK_BY_CODE: readonly (readonly [RegExp, TlsCheck])[] = [
  [/^HANDSHAKE_NO_SSL/, 'no tls'],
  [/^ERR_TLS_CERT_ALTNAME/, 'name'],
  [/^DEPTH_ZERO_SELF_SIGNED/, 'self-signed'],
  [/^CERT_HAS_EXPIRED/, 'expired'],
  [/^CERT_NOT_YET_VALID/, 'not yet valid'],
  [/^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_UNTRUSTED|CERT_SIGNATURE|INVALID_CA)/, 'issuer'],
  // what the server says of a certificate of ours
  [/^ERR_SSL_.*ALERT_.*(CERT|UNKNOWN_CA|ACCESS_DENIED)/, 'client certificate'],
]

function tlsFailureOf(error: DriverError, code: string): DriverFailure['tls'] & object {
  const reason = handshakeErrorOf(error)
  const own = typeof reason.code === 'string' ? reason.code : code
  const check = CHECK_BY_CODE.find(([form]) => form.test(own))?.[1] ?? 'other'
  return { check, names: check === 'name' ? namesIn(reason.cert) : [] }
}

/** The names in a certificate, made safe to print: they come from outside. */
function namesIn(certificate: unknown): string[] {
  const { subjectaltname, subject } = (isObject(certificate) ? certificate : {}) as {
    subjectaltname?: unknown
    subject?: { CN?: unknown }
  }
  const names =
    typeof subjectaltname === 'string'
      ? subjectaltname.split(', ').map((name) => name.replace(/^(DNS|IP Address|URI|email):/, ''))
      : [subject?.CN].flat()
  return names
    .filter((name) => typeof name === 'string')
    .map((name) => name.replace(/[^\x21-\x7e]/g, '?').slice(0, 100))
    .slice(0, 5)
}

function addressOf(error: DriverError): string | undefined {
  if (typeof error.address !== 'string') return undefined
  const address = error.address.includes(':') ? `[${error.address}]` : error.address
  return typeof error.port === 'number' ? `${address}:${error.port}` : error.address
}

const isObject = (value: unknown): value is DriverError =>
  typeof value === 'object' && value !== null
