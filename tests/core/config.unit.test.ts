import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig, presentable } from '../../src/core/config.js'
import type { AppError } from '../../src/core/errors.js'

const KEY = Buffer.alloc(32, 7).toString('base64')

const faultsOf = (environment: Record<string, string>): string[] => {
  try {
    loadConfig({ environment })
    return []
  } catch (error) {
    return (error as AppError).details.faults as string[]
  }
}

describe('configuration', () => {
  test('comes from options before the environment, the environment before .env, .env before defaults', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'validonx-config-'))
    const envFile = join(folder, '.env')
    await writeFile(
      envFile,
      'VALIDONX_PORT=1001\nVALIDONX_HOST=10.0.0.1\nVALIDONX_HOME=from-file\n',
    )

    const { config, origins } = loadConfig({
      environment: { VALIDONX_PORT: '1002', VALIDONX_HOST: '10.0.0.2' },
      options: { port: '1003' },
      envFile,
    })

    expect([config.port, config.host, config.home, config.platformDatabase]).toEqual([
      1003,
      '10.0.0.2',
      'from-file',
      'validonx_platform',
    ])
    expect([origins.port, origins.host, origins.home, origins.platformDatabase]).toEqual([
      'option',
      'environment',
      '.env',
      'default',
    ])
  })

  test('reports all faults together, names each variable, and repeats no secret', () => {
    const faults = faultsOf({
      VALIDONX_APP_KEY: 'too-short-and-secret',
      VALIDONX_PORT: '99999',
      VALIDONX_DATABASE_URL: 'postgres://user:hunter2@host',
      VALIDONX_TENANT_PREFIX: 'Bad-Prefix',
      VALIDONX_TYPO: '1',
    })

    expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual([
      'VALIDONX_APP_KEY',
      'VALIDONX_DATABASE_URL',
      'VALIDONX_PORT',
      'VALIDONX_TENANT_PREFIX',
      'VALIDONX_TYPO',
    ])
    expect(faults.join()).not.toMatch(/too-short-and-secret|hunter2/)
  })

  test.for([
    ['VALIDONX_APP_KEY', 'short'],
    ['VALIDONX_APP_KEY', Buffer.alloc(31).toString('base64')],
    ['VALIDONX_APP_KEY', Buffer.alloc(33).toString('base64')],
    ['VALIDONX_APP_PREVIOUS_KEYS', `${KEY},nonsense`],
    ['VALIDONX_DATABASE_URL', 'mysql://host'],
    ['VALIDONX_DATABASE_URL', 'mysql://user@host/some_database'],
    ['VALIDONX_RUNTIME_URL', 'not a url'],
    ['VALIDONX_PLATFORM_DATABASE', 'test_platform'],
    ['VALIDONX_PLATFORM_DATABASE', '`; drop database x'],
    ['VALIDONX_TENANT_PREFIX', 'a_prefix_that_is_far_too_long_'],
    ['VALIDONX_CONNECTIONS', '0'],
    ['VALIDONX_CONNECTIONS', '1.5'],
    ['VALIDONX_ACQUIRE_TIMEOUT', 'soon'],
    ['VALIDONX_LOG_LEVEL', 'loud'],
    ['VALIDONX_DATABASE_TLS', 'maybe'],
    ['VALIDONX_DATABASE_CA', '/no/such/file.pem'],
  ] as const)('refuses %s=%s', ([variable, value]) => {
    expect(faultsOf({ [variable]: value })).toHaveLength(1)
  })

  test('takes a secret from the file that its _FILE variable names', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'validonx-config-'))
    await writeFile(join(folder, 'key'), `${KEY}\n`)

    const { config, origins } = loadConfig({
      environment: { VALIDONX_APP_KEY_FILE: join(folder, 'key') },
    })

    expect([config.appKey, origins.appKey]).toEqual([KEY, 'file'])
    expect(faultsOf({ VALIDONX_APP_KEY_FILE: join(folder, 'missing') })).toHaveLength(1)
  })

  test('is shown with its secrets masked', () => {
    expect(presentable('appKey', KEY)).toBe('***')
    expect(presentable('appPreviousKeys', [KEY])).toBe('***')
    expect(presentable('databaseUrl', 'mysql://root:hunter2@db:3306')).toBe(
      'mysql://root:***@db:3306',
    )
    expect(presentable('port', 8080)).toBe('8080')
  })
})
