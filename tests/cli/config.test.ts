import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newAppKey } from '../../src/core/crypto/keyring.js'
import { runCli } from '../support/house.js'
import { startBin } from '../support/process.js'

const rowsOf = (out: string): Record<string, { value: string | null; origin: string }> =>
  Object.fromEntries(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ variable, ...row }) => [variable, row]),
  )

test('config names the file that each value comes from', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-config-'))
  const [envFile, key] = [join(folder, 'production.env'), join(folder, 'key')]
  await writeFile(key, newAppKey())
  await writeFile(envFile, `VALIDONX_HOST=10.0.0.1\nVALIDONX_APP_KEY_FILE=${key}\n`)

  const { out, exit } = await runCli({ VALIDONX_HOME: '/srv/home' }, [
    'config',
    '--json',
    `--config=${envFile}`,
  ])

  expect(exit).toBe(0)
  expect(rowsOf(out)).toMatchObject({
    VALIDONX_HOST: { value: '10.0.0.1', origin: envFile },
    VALIDONX_APP_KEY: { value: '***', origin: key },
    VALIDONX_HOME: { value: '/srv/home', origin: 'environment' },
    VALIDONX_PORT: { value: '8080', origin: 'default' },
  })
})

test('config names the embedded server if it would be used', async () => {
  const row = async (environment: Record<string, string>) =>
    rowsOf((await runCli(environment, ['config', '--json'])).out).VALIDONX_DATABASE_URL

  const home = await mkdtemp(join(tmpdir(), 'validonx-config-'))
  expect(await row({ VALIDONX_HOME: home })).toEqual({
    value: `none yet in ${home}`,
    origin: 'embedded',
  })
  await mkdir(join(home, 'data'))
  expect(await row({ VALIDONX_HOME: home })).toEqual({
    value: `server in ${home}`,
    origin: 'embedded',
  })
  expect(await row({ NODE_ENV: 'production' })).toEqual({ value: null, origin: 'default' })
  expect(await row({ VALIDONX_RUNTIME_URL: 'mysql://a:b@db' })).toEqual({
    value: null,
    origin: 'default',
  })
})

test('config names the variables of Kubernetes that it ignores', async () => {
  const { said, exit } = await runCli({ VALIDONX_PORT: 'tcp://10.0.0.1:80' }, ['config'])

  expect(exit).toBe(0)
  expect(said).toContain('VALIDONX_PORT')
})

test('NODE_ENV=production in .env refuses to start the embedded server', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-config-'))
  const envFile = join(folder, 'production.env')
  await writeFile(envFile, `NODE_ENV=production\nVALIDONX_APP_KEY=${newAppKey()}\n`)

  const { said, exit } = await runCli({ VALIDONX_HOME: folder }, [
    'tenant',
    'list',
    `--config=${envFile}`,
  ])

  expect([exit, said]).toEqual([78, expect.stringContaining('CONFIG.DATABASE_MISSING')])
})

test('a file of --config that does not exist is refused by validonx, not by Node.js', async () => {
  const { ended, output } = startBin({}, ['config', '--config', 'nope.env'])

  expect(await ended).toBe(78)
  expect(output.said).toContain('the file of --config does not exist')
})

test('a file of --config changes settings of validonx, not of Node.js', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-config-'))
  const path = join(folder, 'node.env')
  await writeFile(path, 'NODE_OPTIONS=--bogus\nVALIDONX_HOST=10.0.0.7\n')
  const { ended, output } = startBin({}, ['config', '--config', path, '--json'])

  expect([await ended, output.said]).toEqual([0, ''])
  expect(output.out).toContain('"10.0.0.7"')
})
