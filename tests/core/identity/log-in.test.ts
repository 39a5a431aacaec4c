import { describe, expect } from 'vitest'
import { changePassword } from '../../../src/core/identity/change-password.js'
import { createUser } from '../../../src/core/identity/create-user.js'
import { logIn } from '../../../src/core/identity/log-in.js'
import { hashPassword, verifyPassword } from '../../../src/core/identity/password.js'
import { DEFAULT_FORM } from '../../../src/core/identity/password-form.js'
import { listHashForms } from '../../../src/core/identity/user-store.js'
import { codeOf } from '../../support/code-of.js'
import { test as house } from '../../support/house.js'
import { freshWord } from '../../support/platform.js'

const PASSWORD = 'correct horse battery staple'
const headOf = (hash: string): string => hash.slice(0, 6)

/** New hashes are cheap here, and yet stronger than the lowest cost. */
const setCost = (cost: number) => Object.assign(DEFAULT_FORM.bcrypt, { cost })
setCost(5)

async function hashAtCost4(): Promise<string> {
  setCost(4)
  try {
    return await hashPassword(PASSWORD, 'bcrypt')
  } finally {
    setCost(5)
  }
}

const ANY = { count: async () => {}, forget: async () => {} }

const test = house
  .extend('user', async ({ ctx }) => {
    const email = `${freshWord()}@example.com`
    const { id } = await createUser(ctx, { email, name: 'Ada', password: PASSWORD })
    const row = () => ctx.platform('users').where({ id })
    return {
      email,
      hash: async () => String((await row().first('password'))?.password),
      keep: async (password: string) => void (await row().update({ password })),
    }
  })
  .extend(
    'attempt',
    ({ ctx }) =>
      (email: string) =>
        logIn(ctx, ANY, { email, password: PASSWORD }).then(() => 'in', codeOf),
  )

describe('a hash that is malformed or too costly', () => {
  const UNUSABLE = [
    `$2y$99$${'.'.repeat(53)}`,
    `$2y$03$${'.'.repeat(53)}`,
    '$2y$12$cutoff',
    `$argon2id$v=19$m=4194304,t=4,p=1$${'c2FsdHNhbHQ'}$${'A'.repeat(43)}`,
    `$argon2id$v=19$m=65536,t=4000,p=1$${'c2FsdHNhbHQ'}$${'A'.repeat(43)}`,
    // last: before it was refused, it held its thread for days
    `$2y$31$${'.'.repeat(53)}`,
  ]

  test('fails the logins of its user alone', async ({ ctx, user, attempt }) => {
    const other = `${freshWord()}@example.com`
    await createUser(ctx, { email: other, name: 'Bo', password: PASSWORD })
    const said = []
    for (const hash of UNUSABLE) {
      await user.keep(hash)
      const forms = await listHashForms(ctx.platform)
      said.push([
        await attempt(user.email),
        await verifyPassword(PASSWORD, undefined, forms),
        await attempt(other),
      ])
    }

    expect(said).toEqual(UNUSABLE.map(() => ['AUTH.INVALID_CREDENTIALS', false, 'in']))
  })

  test('is replaced by one with default parameters', async ({ ctx, user }) => {
    await user.keep(UNUSABLE[3] ?? '')
    await changePassword(ctx, { user: user.email, password: 'another long password' })

    expect(headOf(await user.hash())).toBe('$2y$05')
  })
})

test('concurrent logins succeed while a weak hash is strengthened', async ({ user, attempt }) => {
  await user.keep(await hashAtCost4())
  const statuses = await Promise.all(Array.from({ length: 20 }, () => attempt(user.email)))

  expect(statuses).toEqual(statuses.map(() => 'in'))
  expect(headOf(await user.hash())).toBe('$2y$05')
})

test('a login succeeds if too many hashes wait for its own to be strengthened', async ({
  ctx,
  user,
}) => {
  await user.keep(await hashAtCost4())
  const crowd: Promise<boolean>[] = []
  const attempts = {
    count: async () => {},
    // called once the password is proven
    forget: async () => {
      for (let each = 0; each < 52; each += 1)
        crowd.push(verifyPassword('x', `$2y$04$${'.'.repeat(53)}`))
    },
  }
  const { token } = await logIn(ctx, attempts, { email: user.email, password: PASSWORD })
  await Promise.all(crowd)

  expect(token).toBeDefined()
  expect(headOf(await user.hash())).toBe('$2y$04')
})
