import { describe, expect, inject } from 'vitest'
import { newAppKey } from '../../src/core/crypto/keyring.js'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { quoteName } from '../../src/core/db/sql.js'
import { addMigrations } from '../support/fleet.js'
import { runCli, test } from '../support/house.js'

type Line = { area: string; state: string; says: string; next: string | null }
const lines = (out: string): Line[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
const notWell = (out: string) => lines(out).filter(({ state }) => state !== 'ok')

describe('validonx doctor', () => {
  test('finds no fault in an installation that is well', async ({ cli }) => {
    const { exit, out } = await cli('doctor', '--json')

    expect(lines(out).filter(({ state }) => state === 'fault')).toEqual([])
    expect(exit).toBe(0)
    expect(new Set(lines(out).map(({ area }) => area))).toEqual(
      new Set(['machine', 'settings', 'platform', 'runtime login', 'server primary']),
    )
  })

  test.for([
    ['a setting that cannot be read', { VALIDONX_PORT: 'x' }, 'settings', 'VALIDONX_PORT'],
    [
      'a server that is away',
      { VALIDONX_DATABASE_URL: 'mysql://root@127.0.0.1:1' },
      'platform',
      'DATABASE.UNREACHABLE',
    ],
    [
      'a platform that was never made',
      { VALIDONX_PLATFORM_DATABASE: 'vxp_nowhere' },
      'platform',
      'PLATFORM.NOT_INITIALIZED',
    ],
    [
      'another application key',
      { VALIDONX_APP_KEY: newAppKey() },
      'platform',
      'CONFIG.APP_KEY_CHANGED',
    ],
    [
      'more connections than the server has',
      { VALIDONX_CONNECTIONS: '1000' },
      'server primary',
      'max_connections',
    ],
  ] as const)(
    'names %s, with what to do about it',
    async ([, change, area, says], { environment }) => {
      const { exit, out } = await runCli({ ...environment, ...change }, ['doctor', '--json'])

      expect(exit).toBe(1)
      const found = notWell(out).find((line) => line.area === area)
      expect(found).toMatchObject({ state: 'fault', says: expect.stringContaining(says) })
      expect(found?.next).toBeTruthy()
    },
  )

  test('sees what is open to everybody, and a login that lacks privileges', async ({
    environment,
    provisioner,
  }) => {
    const { address } = parseDatabaseUrl(inject('databaseUrl'), {})
    const weak = `vxw_${environment.VALIDONX_PLATFORM_DATABASE}`
    await provisioner.run(
      `create user '${weak}'@'%' identified by 'weak'; grant all privileges on ${quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')}.* to '${weak}'@'%'; grant select on mysql.* to '${weak}'@'%'; create user ''@'nowhere.invalid'`,
    )
    const place = address.socketPath
      ? `localhost?socket=${encodeURIComponent(address.socketPath)}`
      : `${address.host}:${address.port}`
    const { exit, out } = await runCli(
      { ...environment, VALIDONX_DATABASE_URL: `mysql://${weak}:weak@${place}` },
      ['doctor', '--json'],
    )
    await provisioner.run(`drop user '${weak}'@'%'; drop user ''@'nowhere.invalid'`)

    expect(exit).toBe(1)
    expect(notWell(out).map(({ says }) => says)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('GRANT CREATE USER ON *.* TO'),
        expect.stringContaining('a user without a name'),
        expect.stringContaining('may not see other sessions'),
      ]),
    )
  })

  test('warns where the template is not at the newest schema', async ({ cli }) => {
    const remove = addMigrations([
      { name: '20991201-01-x', up: ['create table x (id int)'], down: ['drop table x'] },
    ])
    const { exit, out } = await cli('doctor')
    remove()

    expect([exit, out]).toEqual([
      0,
      expect.stringContaining('! it has no template at the newest schema'),
    ])
  })
})
