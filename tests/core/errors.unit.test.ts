import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { AppError, asAppError, catalogue, type ErrorCode } from '../../src/core/errors.js'
import { describeError } from '../../src/core/scrub.js'
import { ROOT } from '../support/source-files.js'

const tryTo = (write: () => string): string => {
  try {
    return write()
  } catch {
    return ''
  }
}

describe('the catalogue', () => {
  test('and docs/errors.md say the same of every code', async () => {
    const page = await readFile(join(ROOT, 'docs/errors.md'), 'utf8')
    const documented = [...page.matchAll(/^\| `([A-Z_.]+)` +\| (\d+) +\| (\d+) +\| \S/gm)].map(
      ([, code, status, exit]) => [code, Number(status), Number(exit)],
    )
    const real = Object.entries(catalogue).map(([code, { status, exit }]) => [code, status, exit])

    expect(documented.sort()).toEqual(real.sort())
  })

  test('has codes of the published form and exit statuses that mean something', () => {
    const meanings = [1, 3, 64, 65, 66, 69, 70, 73, 74, 75, 77, 78, 130]
    for (const [code, { exit, status }] of Object.entries(catalogue)) {
      expect(code).toMatch(/^[A-Z_]+(\.[A-Z_]+)+$/)
      expect(meanings).toContain(exit)
      expect(status).toBeGreaterThanOrEqual(400)
    }
  })

  test('tells callers of the API nothing that only an operator at a terminal can do', () => {
    // what callers never see: replaced by SERVER.UNAVAILABLE, or thrown by commands alone
    const masked = /^(DATABASE|REDIS|PLATFORM|CONFIG|LEASE|PROVISIONING)\./
    const terminalOnly = /^(USAGE|OUTPUT|MIGRATION|ROLLOUT|KEYRING|SERVER\.(ADDRESS|NOT_LISTENING))/
    const rows = Object.entries(catalogue).filter(
      ([code]) => !masked.test(code) && !terminalOnly.test(code),
    )
    const advice = rows.flatMap(([code, { say }]) => {
      const write = say as (...args: unknown[]) => string
      // a list does for a word too; some sentences depend on a word that may be absent
      const texts = [
        write(['a'], ['b'], ['c'], ['d']),
        ...(write.length === 1 ? [tryTo(write)] : []),
      ]
      return texts.filter((text) => /validonx |\s--[a-z]/.test(text)).map(() => code)
    })

    expect(rows.length).toBeGreaterThan(50)
    expect(advice).toEqual([])
  })

  test('keeps that for the terminal, as a hint', () => {
    const error = new AppError('TENANT.DATABASE_MISSING', 'acme')

    expect(error.message).not.toContain('validonx')
    expect(error.cliHint).toContain('validonx tenant health acme')
  })

  test("gives the envelope's type as the code's domain in lower case", () => {
    expect(new AppError('LICENSE.NOT_FOUND').domain).toBe('license')
    expect(new AppError('TENANT.STATUS.SUSPENDED', 'acme').domain).toBe('tenant')
  })
})

describe('what was thrown', () => {
  const driver = (fields: object) => Object.assign(new Error('select secret from t'), fields)
  const cases: readonly [string, unknown, ErrorCode][] = [
    [
      'a refused connection',
      driver({ fatal: true, code: 'ECONNREFUSED', address: '127.0.0.1', port: 3306 }),
      'DATABASE.UNREACHABLE',
    ],
    [
      'a missing socket',
      driver({ fatal: true, code: 'ENOENT', address: '/run/x.sock' }),
      'DATABASE.UNREACHABLE',
    ],
    [
      'a refused login',
      driver({ errno: 1045, sqlState: '28000', sqlMessage: "Access denied for user 'a'@'b'" }),
      'DATABASE.ACCESS_DENIED',
    ],
    [
      'a missing privilege',
      driver({ errno: 1142, sqlState: '42000', sqlMessage: 'command denied' }),
      'DATABASE.PRIVILEGES_MISSING',
    ],
    [
      'a connection that went away',
      driver({ code: 'PROTOCOL_CONNECTION_LOST', fatal: true }),
      'DATABASE.CONNECTION_LOST',
    ],
    [
      'too many connections',
      driver({ errno: 1040, sqlState: '08004', sqlMessage: 'Too many connections' }),
      'DATABASE.BUSY',
    ],
    [
      'a full disk',
      driver({ errno: 1114, sqlState: 'HY000', sqlMessage: 'The table is full' }),
      'DATABASE.FULL',
    ],
    [
      'a server without TLS',
      driver({
        fatal: true,
        code: 'HANDSHAKE_NO_SSL_SUPPORT',
        message: 'Server does not support secure connection',
      }),
      'DATABASE.TLS_REFUSED',
    ],
    [
      'a wrong statement',
      driver({ errno: 1064, sqlState: '42000', sqlMessage: 'syntax' }),
      'SERVER.INTERNAL',
    ],
    ['a pipe of ours that closed', driver({ code: 'EPIPE' }), 'SERVER.INTERNAL'],
    ['a file of ours that is not there', driver({ code: 'ENOENT' }), 'SERVER.INTERNAL'],
    ['a full pool', Object.assign(new Error('x'), { name: 'KnexTimeoutError' }), 'DATABASE.BUSY'],
    ['anything else', new TypeError('x is not a function'), 'SERVER.INTERNAL'],
    ['no error at all', 'oops', 'SERVER.INTERNAL'],
  ]

  test.for(cases)('%s becomes a row of the catalogue', ([, thrown, code]) => {
    expect(asAppError(thrown).code).toBe(code)
  })

  test('is known by its number, not by the name that the driver gives it', () => {
    const mislabelled = driver({
      errno: 4025,
      code: 'ER_INNODB_AUTOEXTEND_SIZE_OUT_OF_RANGE',
      sqlState: '23000',
      sqlMessage: 'CONSTRAINT failed',
    })
    expect(asAppError(mislabelled).code).toBe('SERVER.INTERNAL')
  })

  test('is found behind wrappers', () => {
    const wrapped = new Error('outer', {
      cause: driver({ errno: 1040, sqlState: '08004', sqlMessage: 'x' }),
    })
    expect(asAppError(wrapped).code).toBe('DATABASE.BUSY')
  })
})

test('what may be told of an error holds no statement, no value and no secret', () => {
  const error = Object.assign(
    new Error(
      "create user 'u' identified by 'S3cretPw' - You have an error near 'S3cretPw' at line 1",
    ),
    {
      errno: 1064,
      sqlState: '42000',
      sqlMessage: "Duplicate entry 'S3cretPw' for key 'x'",
      sql: "insert 'S3cretPw'",
    },
  )
  const told = JSON.stringify(describeError(new AppError('SERVER.INTERNAL').because(error)))

  expect(told).not.toContain('S3cretPw')
  expect(told).toContain('1064')
})
