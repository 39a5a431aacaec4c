import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { PASSWORD_HASHES } from '../../../src/core/config.js'
import { changePassword } from '../../../src/core/identity/change-password.js'
import { createUser } from '../../../src/core/identity/create-user.js'
import { hashPassword, verifyPassword } from '../../../src/core/identity/password.js'
import { formOf } from '../../../src/core/identity/password-form.js'
import { isCampaign } from '../../support/campaign.js'
import { codeOf } from '../../support/code-of.js'
import { test as house } from '../../support/house.js'
import { judgeByPhp, type Pair, type Verdict } from '../../support/php-passwords.js'
import { freshWord } from '../../support/platform.js'
import { fromElsewhere } from '../../support/shop.js'
import { ROOT } from '../../support/source-files.js'

type Judged = Pair & { readonly laravel: Verdict }

const { by_php: byPhp, by_us: byUs } = JSON.parse(
  await readFile(join(ROOT, 'tests/vectors/passwords.json'), 'utf8'),
) as {
  readonly by_php: readonly Judged[]
  readonly by_us: readonly (Judged & { readonly algorithm: keyof Verdict })[]
}

/** The drivers of Laravel that let a user in; with the others the login is an exception. */
const opensFor = ({ laravel }: Judged) =>
  PASSWORD_HASHES.filter((driver) => laravel[driver].startsWith('accepts'))

/** The slower bcrypt hashes are left to the campaign. */
const isQuick = (hash: string): boolean => !/^\$2y\$1[1-9]/.test(hash)

/** `$2y$10`, `$argon2id$v=19$m=65536,t=4,p=1` */
const headOf = (hash: string): string =>
  hash.startsWith('$2') ? hash.slice(0, 6) : hash.slice(0, hash.indexOf('$', hash.indexOf('m=')))

const PASSWORD = 'correct horse battery staple'
const phpHash = (head: string): string =>
  byPhp.find((each) => each.password === PASSWORD && headOf(each.hash) === head)?.hash ?? ''

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
  .extend('logIn', async ({ app }) => async (email: string, password: string) => {
    const response = await app.request(
      '/v1/auth/login',
      {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ email, password }),
      },
      fromElsewhere(),
    )
    return response.status
  })

describe('hashes of PHP', () => {
  test('verify with their password alone', async () => {
    const verdicts = []
    const tried = byPhp.filter(({ hash }) => isCampaign || isQuick(hash))
    for (const { password, hash } of tried)
      verdicts.push([
        await verifyPassword(password, hash),
        await verifyPassword(`x${password}`, hash),
      ])

    expect(new Set(tried.map(({ hash }) => formOf(hash)?.algorithm))).toEqual(
      new Set(PASSWORD_HASHES),
    )
    expect(verdicts).toEqual(tried.map(() => [true, false]))
  })

  test('stay in their algorithm at a login, and no parameter gets lower', async ({
    user,
    logIn,
  }) => {
    const heads = [...new Set(byPhp.map(({ hash }) => headOf(hash)))]
    const after: Record<string, string> = {}
    for (const head of heads) {
      const stored = phpHash(head)
      await user.keep(stored)
      expect(await logIn(user.email, PASSWORD)).toBe(200)
      const kept = await user.hash()
      after[head] = kept === stored ? 'unchanged' : headOf(kept)
      expect(await logIn(user.email, PASSWORD)).toBe(200)
      expect(await user.hash()).toBe(kept)
    }

    expect(after).toEqual({
      $2y$10: '$2y$12',
      $2y$12: 'unchanged',
      $2y$13: 'unchanged',
      '$argon2i$v=19$m=65536,t=4,p=1': 'unchanged',
      '$argon2id$v=19$m=65536,t=4,p=1': 'unchanged',
      '$argon2id$v=19$m=1024,t=2,p=2': '$argon2id$v=19$m=65536,t=4,p=2',
    })
  })

  test('of another bcrypt version keep it', async ({ user, logIn }) => {
    const heads = []
    for (const version of ['$2a$', '$2b$']) {
      await user.keep(phpHash('$2y$10').replace('$2y$', version))
      expect(await logIn(user.email, PASSWORD)).toBe(200)
      expect(await logIn(user.email, PASSWORD)).toBe(200)
      heads.push(headOf(await user.hash()))
    }

    expect(heads).toEqual(['$2a$12', '$2b$12'])
  })
})

describe('hashes of ours', () => {
  test('are accepted by the driver of Laravel that has their algorithm', () => {
    expect(byUs.map(opensFor)).toEqual(byUs.map(({ algorithm }) => [algorithm]))
    // and is not hashed again there
    expect(byUs.map(({ laravel, algorithm }) => laravel[algorithm])).toEqual(
      byUs.map(() => 'accepts'),
    )
  })

  test('are what PHP says today, also when made now', async ({ user, logIn }) => {
    await user.keep(phpHash('$2y$10'))
    await logIn(user.email, PASSWORD)
    const now: Pair[] = [{ password: PASSWORD, hash: await user.hash() }]
    for (const algorithm of PASSWORD_HASHES)
      now.push({ password: PASSWORD, hash: await hashPassword(PASSWORD, algorithm) })
    const kept = [...byPhp, ...byUs].filter(({ hash }) => isCampaign || isQuick(hash))
    const verdicts = await judgeByPhp([...kept, ...now])
    if (!verdicts) return

    const known = kept.map(({ laravel }) => laravel)
    const made = verdicts.slice(known.length)
    expect(verdicts.slice(0, known.length)).toEqual(known)
    expect(
      made.map((each, index) => each[formOf(now[index]?.hash ?? '')?.algorithm ?? 'bcrypt']),
    ).toEqual(now.map(() => 'accepts'))
  })
})

describe('a new password', () => {
  test('is hashed with bcrypt as Laravel does it, unless the setting says otherwise', async ({
    ctx,
    user,
  }) => {
    const heads = [headOf(await user.hash())]
    for (const passwordHash of PASSWORD_HASHES) {
      const email = `${freshWord()}@example.com`
      const configured = { ...ctx, config: { ...ctx.config, passwordHash } }
      await createUser(configured, { email, name: 'Ada', password: PASSWORD })
      const row = await ctx.platform('users').where({ email }).first('password')
      heads.push(headOf(String(row?.password)))
    }

    expect(heads).toEqual([
      '$2y$12',
      '$2y$12',
      '$argon2i$v=19$m=65536,t=4,p=1',
      '$argon2id$v=19$m=65536,t=4,p=1',
    ])
  })

  test('has the algorithm of the one it replaces, and parameters at least as high', async ({
    ctx,
    user,
  }) => {
    const change = async (passwordHash?: 'bcrypt') => {
      await changePassword(
        { ...ctx, config: { ...ctx.config, passwordHash } },
        { user: user.email, password: 'another long password' },
      )
      return headOf(await user.hash())
    }
    const after = []
    for (const head of [
      '$2y$13',
      '$argon2i$v=19$m=65536,t=4,p=1',
      '$argon2id$v=19$m=1024,t=2,p=2',
    ]) {
      await user.keep(phpHash(head))
      after.push(await change())
    }
    after.push(await change('bcrypt'))

    expect(after).toEqual([
      '$2y$13',
      '$argon2i$v=19$m=65536,t=4,p=1',
      '$argon2id$v=19$m=65536,t=4,p=2',
      '$2y$12',
    ])
  })

  test('is refused if bcrypt would not read all of it', async ({ ctx, user }) => {
    const set = (password: string, passwordHash?: 'argon2id') =>
      changePassword(
        { ...ctx, config: { ...ctx.config, passwordHash } },
        { user: user.email, password },
      )
    // 73 bytes in 37 characters
    const long = `${'ä'.repeat(36)}x`

    expect(await set(long).catch(codeOf)).toBe('VALIDATION.FAILED')
    expect(await set(`${'ä'.repeat(10)}\0`).catch(codeOf)).toBe('VALIDATION.FAILED')
    await set(long.slice(0, 36))
    expect(headOf(await user.hash())).toBe('$2y$12')
    await set(long, 'argon2id')
    expect(await verifyPassword(`${'ä'.repeat(36)}y`, await user.hash())).toBe(false)
  })
})

test('bcrypt reads nothing past a NUL, so no password with one matches', async () => {
  const hash = await hashPassword(PASSWORD, 'bcrypt')
  const guesses = [PASSWORD, `${PASSWORD}\0`, `${PASSWORD}\0x`, `${PASSWORD}\0${PASSWORD}`]

  expect(await Promise.all(guesses.map((guess) => verifyPassword(guess, hash)))).toEqual([
    true,
    false,
    false,
    false,
  ])
})
