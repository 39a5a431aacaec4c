import { expect } from 'vitest'
import { test as house, runCli } from '../support/house.js'
import { asking } from '../support/member.js'
import { freshWord } from '../support/platform.js'

const test = house.extend('ada', async ({ environment }) => {
  const email = `${freshWord()}@example.com`
  const argv = ['user', 'create', email, '--name', 'Ada', '--password-stdin', '--json']
  const { out } = await runCli(environment, argv, 'correct horse battery\n')
  return JSON.parse(out) as { readonly id: string; readonly email: string }
})

test('a user gets into a tenant, with a role and a token, and out again', async ({
  app,
  cli,
  tenant,
  ada,
}) => {
  const at = ['--tenant', tenant.slug]
  const added = await cli('member', 'add', ada.email, ...at, '--role', 'owner', '--json')
  const twice = await cli('member', 'add', ada.email, ...at, '--role', 'viewer')
  const last = await cli('member', 'role', ada.email, 'viewer', ...at)
  const made = await cli('token', 'create', '--user', ada.email, '--name', 'ci', '--json')
  const { token, id } = JSON.parse(made.out) as { token: string; id: string }
  const opens = await asking(app, token)('GET', '/products')
  const listed = await cli('token', 'list', '--user', ada.email, '--json')
  const unasked = await cli('token', 'revoke', id)
  const revoked = await cli('token', 'revoke', id, '--yes')
  const again = await cli('token', 'revoke', id, '--yes')
  const closed = await asking(app, token)('GET', '/products')

  expect(JSON.parse(added.out)).toMatchObject({ email: ada.email, role: 'owner' })
  expect([twice.exit, twice.said]).toEqual([73, expect.stringContaining('MEMBER.EXISTS')])
  expect([last.exit, last.said]).toEqual([65, expect.stringContaining('MEMBER.LAST_OWNER')])
  expect(token).toMatch(/^\d+\|[0-9A-Za-z]{40}[0-9a-f]{8}$/)
  expect([opens.status, closed.status]).toEqual([200, 401])
  expect(listed.out).not.toContain(token.split('|')[1])
  expect([unasked.exit, revoked.exit, again.exit]).toEqual([64, 0, 66])
})

test('a user who is disabled has no tokens, and comes in again when enabled', async ({
  cli,
  ada,
}) => {
  await cli('token', 'create', '--user', ada.email)
  const disabled = await cli('user', 'disable', ada.email, '--yes', '--json')
  const listed = await cli('user', 'list', '--limit', '1000', '--json')
  const enabled = await cli('user', 'enable', ada.email, '--json')

  const rows = listed.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  expect(JSON.parse(disabled.out)).toMatchObject({ status: 'disabled', tokens_revoked: 1 })
  expect(rows).toContainEqual(expect.objectContaining({ email: ada.email, status: 'disabled' }))
  expect(JSON.parse(enabled.out)).toMatchObject({ status: 'active' })
})

test('a password comes from standard input or a prompt, and a weak or missing one is refused', async ({
  environment,
  cli,
}) => {
  const email = `${freshWord()}@example.com`
  const create = ['user', 'create', email, '--name', 'Bob']
  const nobody = await cli(...create)
  const weak = await runCli(environment, [...create, '--password-stdin'], 'short')
  const fine = await runCli(environment, [...create, '--password-stdin'], 'long enough for all')
  const twice = await runCli(environment, [...create, '--password-stdin'], 'long enough for all')

  expect([nobody.exit, nobody.said]).toEqual([64, expect.stringContaining('--password-stdin')])
  expect([weak.exit, weak.said]).toEqual([65, expect.stringContaining('at least 10')])
  expect(fine.exit).toBe(0)
  expect([twice.exit, twice.said]).toEqual([73, expect.stringContaining('USER.EXISTS')])
  expect(`${nobody.said}${weak.said}${fine.out}${fine.said}`).not.toContain('long enough')
})

test.for([
  ['an unknown user', ['member', 'add', 'nobody@example.com', '--role', 'owner'], 66],
  ['an unknown role', ['member', 'add', 'nobody@example.com', '--role', 'king'], 65],
  ['an address that is none', ['member', 'add', 'nobody', '--role', 'owner'], 65],
  ['a member that is none', ['member', 'remove', 'nobody@example.com', '--yes'], 66],
] as const)('%s is refused', async ([, argv, exit], { cli, tenant }) => {
  const run = await cli(...argv, '--tenant', tenant.slug)

  expect([run.exit, run.out]).toEqual([exit, ''])
  expect(run.said).not.toBe('')
})
