import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { causeOf } from '../../src/core/driver-failure.js'
import { asAppError, type ErrorCode } from '../../src/core/errors.js'
import { ROOT } from '../support/source-files.js'

type Row = { readonly errno: number; readonly sqlState: string; readonly name: string }

/**
 * Numbers, SQLSTATEs and names of every error that a server can send to a client: MySQL 9.7 from
 * performance_schema.events_errors_summary_global_by_error, MariaDB 10.11 from its headers.
 */
const tableOf = (family: 'mysql' | 'mariadb'): Row[] =>
  readFileSync(join(ROOT, `tests/core/server-errors/${family}.txt`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [errno = '', sqlState = '', name = ''] = line.split(' ')
      return { errno: Number(errno), sqlState, name }
    })

/** As the driver throws it. */
const thrown = ({ errno, sqlState }: Row | Omit<Row, 'name'>, sqlMessage = '') =>
  Object.assign(new Error(sqlMessage), { errno, sqlState, sqlMessage })

/** What an operator can do something about, by the servers' own names for their errors. */
const OPERATORS =
  /READ_?ONLY|DISK|_FULL|SPACE|DENIED|LOCK|PASSWORD|CONNECTION|SHUTDOWN|KILL|TIMEOUT|DEADLOCK|ROLLBACK|BINLOG|REPLICA|SLAVE|MASTER|SOURCE|GTID|GROUP_REPL|GRP_|CLONE|KEYRING|ENCRYPT|PLUGIN|COMPONENT|PACKET|IO_|CRASH|CORRUPT|MEMORY|RESOURCES|THREAD|HOST|SECURE|LOG_|ENGINE|TABLESPACE|PRIV|ACCOUNT|LIMIT|CANT_(OPEN|CREATE|READ|GET|LOCK)|TOO_MANY_(?!KEY|TABLES|FIELDS|ROWS|RECORDS|PARTITION|VALUES)/
/** Names that only look so: mistakes in a statement, a definition or a geometry. */
const LOOKALIKES =
  /^(TABLE_NOT_LOCKED|LOCK_OR_ACTIVE|USER_LOCK_|LOCKING_SERVICE_WRONG|GRANT_WRONG|READ_ONLY_TRANSACTION|UPDATE_LOG_DEP|CANT_CREATE_GEOMETRY|SP_|REMOVED_SPACES|LIMITED_PART|WRONG_SPVAR|DYN_COL|REGEXP_|SRS_|TRANSFORM_SOURCE_SRS|WRONG_TABLESPACE_NAME|EXPLAIN_|WARN_ON_MODIFYING|SWITCH_TMP|FK_CANNOT_CHANGE|EXCEEDED_MV|GTID_UNSAFE_ALTER_ADD_COL|UNSUPPORTED_ENGINE_FOR_GEN)/
/** SQLSTATE classes that say that a statement or a value in it is wrong. */
const STATEMENT_CLASSES = /^(01|02|0A|0K|0L|0Z|20|21|22|23|24|25|2F|35|3D|42|44|OP|SR|SU)/

describe.for(['mysql', 'mariadb'] as const)('of the error table of %s', (family) => {
  const rows = tableOf(family)
  const ours = rows.filter((row) => asAppError(thrown(row)).code === 'SERVER.INTERNAL')

  test('nothing that an operator can fix is reported as our fault', () => {
    const wrong = ours.filter(({ name }) => OPERATORS.test(name) && !LOOKALIKES.test(name))

    expect(rows.length).toBeGreaterThan(1_100)
    expect(rows.filter(({ name }) => OPERATORS.test(name)).length).toBeGreaterThan(300)
    expect(wrong).toEqual([])
  })

  test('mistakes in a statement stay our fault', () => {
    const statements = rows.filter(
      ({ sqlState, name }) => STATEMENT_CLASSES.test(sqlState) && !OPERATORS.test(name),
    )
    const kinds = statements.map((row) => causeOf(thrown(row))?.kind)
    const share = kinds.filter((kind) => kind === 'other').length / kinds.length

    expect(statements.length).toBeGreaterThan(150)
    expect(share).toBeGreaterThan(0.85)
  })

  test('every refusal that is not our fault is 503, so that callers try again', () => {
    const others = rows.filter((row) => !ours.includes(row))
    const statuses = new Map<number, number>()
    for (const row of others) {
      const { status } = asAppError(thrown(row))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }

    expect([...statuses.keys()].sort()).toEqual([422, 503])
    expect(statuses.get(422)).toBeLessThan(5)
  })
})

describe('a refusal of the server', () => {
  const cases: readonly [string, number, string, string, ErrorCode][] = [
    ['1290 read-only', 1290, 'HY000', 'running with the --read-only option', 'DATABASE.READ_ONLY'],
    [
      '1290 super-read-only',
      1290,
      'HY000',
      'running with the --super-read-only option',
      'DATABASE.READ_ONLY',
    ],
    [
      '1290 of another option',
      1290,
      'HY000',
      'running with the --secure-file-priv option',
      'DATABASE.REFUSED',
    ],
    [
      '1792',
      1792,
      '25006',
      'Cannot execute statement in a READ ONLY transaction.',
      'DATABASE.READ_ONLY',
    ],
    ['1836', 1836, 'HY000', 'Running in read-only mode', 'DATABASE.READ_ONLY'],
    [
      'MySQL: a locked account',
      3118,
      'HY000',
      'Access denied. Account is locked.',
      'DATABASE.ACCOUNT_LOCKED',
    ],
    [
      'MariaDB: a locked account',
      4151,
      'HY000',
      'Access denied, this account is locked',
      'DATABASE.ACCOUNT_LOCKED',
    ],
    [
      'MariaDB: a blocked user',
      4150,
      'HY000',
      'User is blocked because of too many credential errors',
      'DATABASE.ACCOUNT_LOCKED',
    ],
    [
      'MySQL: the same number for another thing',
      4151,
      'HY000',
      'Incomplete escape sequence in the bulk load',
      'DATABASE.REFUSED',
    ],
    ['1862', 1862, 'HY000', 'Your password has expired.', 'DATABASE.PASSWORD_EXPIRED'],
    [
      '1820',
      1820,
      'HY000',
      'You must SET PASSWORD before executing this statement',
      'DATABASE.PASSWORD_EXPIRED',
    ],
    [
      '3159',
      3159,
      'HY000',
      'Connections using insecure transport are prohibited',
      'DATABASE.TLS_REFUSED',
    ],
    ['1524', 1524, 'HY000', 'Plugin is not loaded', 'DATABASE.AUTH_UNSUPPORTED'],
    ['1203', 1203, '42000', 'more than max_user_connections', 'DATABASE.BUSY'],
    ['1129', 1129, 'HY000', 'Host is blocked', 'DATABASE.HOST_REFUSED'],
    [
      '3 on a full disk',
      3,
      'HY000',
      'Error writing file (Errcode: 28 "No space left on device")',
      'DATABASE.FULL',
    ],
    [
      '1005 on a full disk',
      1005,
      'HY000',
      'Can\'t create table (errno: 28 "No space left on device")',
      'DATABASE.FULL',
    ],
    [
      '1005 on a full tablespace',
      1005,
      'HY000',
      'Can\'t create table `a`.`b` (errno: 135 "No more room in record file")',
      'DATABASE.FULL',
    ],
    [
      '1005 on a full tablespace, with the words alone',
      1005,
      'HY000',
      "Can't create table `a`.`b` (No more room in index file)",
      'DATABASE.FULL',
    ],
    [
      '1026 with a quota used up',
      1026,
      'HY000',
      'Error writing file (errno: 122 - Disk quota exceeded)',
      'DATABASE.FULL',
    ],
    [
      '1030 in another language',
      1030,
      'HY000',
      'Fehler 28 (Error: 28) vom Speicher-Handler',
      'DATABASE.FULL',
    ],
    ['1017 without files left', 1017, 'HY000', "Can't find file (errno: 24)", 'DATABASE.DAMAGED'],
    ['1461', 1461, '42000', 'max_prepared_stmt_count', 'DATABASE.OUT_OF_RESOURCES'],
    ['1153', 1153, '08S01', "bigger than 'max_allowed_packet' bytes", 'DATABASE.TOO_LARGE'],
    ['1969', 1969, '70100', 'max_statement_time exceeded', 'DATABASE.CONTENDED'],
    [
      '3024 of MySQL',
      3024,
      'HY000',
      'maximum statement execution time exceeded',
      'DATABASE.CONTENDED',
    ],
    ['1317', 1317, '70100', 'Query execution was interrupted', 'DATABASE.CONTENDED'],
    ['1053', 1053, '08S01', 'Server shutdown in progress', 'DATABASE.CONNECTION_LOST'],
    [
      '1047',
      1047,
      '08S01',
      'WSREP has not yet prepared node for application use',
      'DATABASE.NOT_READY',
    ],
    ['3032', 3032, 'HY000', 'The server is currently in offline mode', 'DATABASE.NOT_READY'],
    ['3101', 3101, '40000', 'Plugin instructed the server to rollback', 'DATABASE.CONTENDED'],
    ['1180', 1180, 'HY000', 'Got error 5 during COMMIT', 'DATABASE.OUTCOME_UNKNOWN'],
    ['1038', 1038, 'HY001', 'Out of sort memory', 'DATABASE.OUT_OF_RESOURCES'],
    ['1194', 1194, 'HY000', 'Table is marked as crashed', 'DATABASE.DAMAGED'],
    ['1665', 1665, 'HY000', 'BINLOG_FORMAT = STATEMENT', 'DATABASE.REFUSED'],
    ['1709', 1709, 'HY000', 'Index column size too large', 'DATABASE.REFUSED'],
    ['1819', 1819, 'HY000', 'does not satisfy the current policy', 'DATABASE.PASSWORD_REFUSED'],
    ['3638', 3638, 'HY000', 'contradicts to history', 'DATABASE.PASSWORD_REFUSED'],
    ['a number of the future', 9999, 'HY000', 'something new', 'DATABASE.REFUSED'],
    [
      'a number of the future in the class of rollbacks',
      9998,
      '40001',
      'something new',
      'DATABASE.CONTENDED',
    ],
    ['a wrong statement', 1064, '42000', 'You have an error in your SQL syntax', 'SERVER.INTERNAL'],
  ]

  test.for(cases)('%s has a code of its own', ([, errno, sqlState, sentence, code]) => {
    expect(asAppError(thrown({ errno, sqlState }, sentence)).code).toBe(code)
  })
})

describe('an error in which the server names no login', () => {
  const sentences: readonly [number, string, string][] = [
    [1820, 'You must SET PASSWORD', 'The password of the database account has expired.'],
    [1862, 'Your password has expired.', 'The password of the database account has expired.'],
    [1819, 'Your password does not satisfy', 'policy refuses the password. Passwords are'],
    [1251, 'Client does not support', 'The database account uses an authentication method'],
    [1524, 'Plugin is not loaded', 'The database account uses an authentication method'],
    [4151, 'Access denied, this account is locked', 'The database account is locked.'],
    [1227, 'you need the SUPER privilege', 'The login lacks privileges: you need the SUPER'],
  ]

  test.for(sentences)('%i makes a complete sentence', ([errno, said, expected]) => {
    expect(asAppError(thrown({ errno, sqlState: 'HY000' }, said)).message).toContain(expected)
  })

  test('and one in which it does names it', () => {
    const said = "Access denied for user 'vx_a'@'10.0.0.1'"
    expect(asAppError(thrown({ errno: 1045, sqlState: '28000' }, said)).message).toContain(
      "refused the login 'vx_a'@'10.0.0.1'. Check",
    )
  })
})

test('what the server says is scrubbed, also where it quotes a statement', () => {
  const password = `${'a'.repeat(43)}.aA1`
  const said = `You have an error in your SQL syntax near 'by '${password}'' at line 1`
  const failure = causeOf(thrown({ errno: 1064, sqlState: '42000' }, said))

  expect(failure?.sentence).toBe("You have an error in your SQL syntax near 'by '***'' at line 1")
})
