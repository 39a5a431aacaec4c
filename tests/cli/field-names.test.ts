import type { Command } from 'commander'
import { describe, expect } from 'vitest'
import { createProgram } from '../../src/cli/program.js'
import type { Runtime } from '../../src/cli/runtime.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { volume } from '../support/campaign.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { test as house, runCli } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { type Environment, freshWord } from '../support/platform.js'

hashPasswordsCheaply()

type Leaf = { readonly path: string; readonly command: Command }

const leavesOf = (command: Command, path: readonly string[] = []): Leaf[] =>
  command.commands.length === 0
    ? [{ path: path.join(' '), command }]
    : command.commands.flatMap((child) => leavesOf(child, [...path, child.name()]))

const LEAVES = leavesOf(createProgram({ stdout: {}, stderr: {} } as unknown as Runtime, () => {}))

/** Commands that take nothing of their own, or run until they are stopped. */
const WITHOUT_INPUT = /^(init|config|doctor|serve|dev .*|migration .*)$/
/** What every command has: `tests/core/config.unit.test.ts` tests their messages. */
const COMMON = ['json', 'config', 'envFile', 'home', 'platformDatabase', 'tenantPrefix']
/** Names a file that is written: any name will do. */
const WRITTEN = ['summary']
/** Nothing that is input is like this. */
const HOSTILE = ['ü\u0001 x', '2020-02-31', 'x'.repeat(300)].slice(0, volume(1, 3))

const test = house.extend('made', { scope: 'file' }, async ({ ctx }) => {
  const { provision, freshSlug } = await import('../support/house.js')
  const { enterTenant } = await import('../../src/core/tenants/scope.js')
  const slug = freshSlug()
  await provision(ctx, slug)
  const scope = await enterTenant(ctx, slug)
  const { license } = await issueFor(scope, { product: 'app' })
  const email = `${freshWord()}@example.com`
  await createUser(ctx, { email, name: 'P', password: 'a password for this test' })
  return { slug, email, license: license.key }
})

/** A value that an option or argument takes: the rest of a command line is well. */
function goodValue(name: string, path: string, made: Readonly<Record<string, string>>): string {
  const own: Readonly<Record<string, string | undefined>> = {
    tenant: made.slug,
    // a tenant that is suspended or archived would end what the other commands test
    slug: path === 'tenant provision' ? 'fresh' : 'nobody',
    user: made.email,
    email: path === 'user create' ? `${freshWord()}@example.com` : made.email,
    key: made.license,
    license: made.license,
    name: 'name',
    role: 'viewer',
    plan: 'starter',
    product: 'app',
    before: '2020-01-01',
    'code=value': 'licenses.max=5',
    id: '01a20a16-e903-7073-8d90-840262d70cf5',
  }
  return own[name] ?? 'x'
}

/** The field lines of a refusal: `  <name>: <message>`. */
const fieldsIn = (said: string): string[] =>
  said.includes('[VALIDATION.FAILED]')
    ? [...said.matchAll(/^ {2}(?!because: )(.+?): /gm)].map(([, name = '']) => name)
    : []

/** All command lines with one value that is wrong, for one command. */
function lines({ path, command }: Leaf, made: Readonly<Record<string, string>>): string[][] {
  const args = command.registeredArguments
  const options = command.options.filter(
    (each) =>
      ![...COMMON, ...WRITTEN].includes(each.attributeName()) && (each.required || each.optional),
  )
  const withBad = (bad: string, value: string): string[] => [
    ...path.split(' '),
    ...args
      .filter((each) => each.required || each.name() === bad)
      .map((each) => (each.name() === bad ? value : goodValue(each.name(), path, made))),
    ...options
      .filter((each) => each.mandatory || each.attributeName() === bad)
      .map((each) => {
        const name = each.attributeName()
        return `${each.long}=${name === bad ? value : goodValue(name, path, made)}`
      }),
    ...(command.options.some((each) => each.long === '--yes') ? ['--yes'] : []),
    ...(command.options.some((each) => each.long === '--password-stdin')
      ? ['--password-stdin']
      : []),
  ]
  const names = [...args.map((each) => each.name()), ...options.map((each) => each.attributeName())]
  return names.flatMap((name) => HOSTILE.map((value) => withBad(name, value)))
}

describe('a refused command line', () => {
  test('names the options and arguments that were typed, never a field of the code', {
    timeout: 300_000,
  }, async ({ environment, made }) => {
    const strays: string[] = []
    const named = new Set<string>()
    for (const leaf of LEAVES.filter(({ path }) => !WITHOUT_INPUT.test(path))) {
      const known = new Set([
        ...leaf.command.options.map((each) => each.long ?? ''),
        ...leaf.command.registeredArguments.map((each) => each.name()),
        'the URL',
        'password',
      ])
      for (const argv of lines(leaf, made)) {
        const { said, exit } = await runCli(
          environment as Environment,
          argv,
          'a password that is fine\n',
        )
        const fields = fieldsIn(said)
        for (const field of fields) named.add(`${leaf.path} ${field}`)
        const wrong = fields.filter((field) => !known.has(field))
        if (wrong.length > 0 || (exit === 70 && !/"code"/.test(said)))
          strays.push(`${argv.join(' ')}: ${exit} ${wrong.join(', ')} ${wrong.length ? '' : said}`)
      }
    }

    expect(strays).toEqual([])
    // the detector has seen refusals of many commands
    expect(named.size).toBeGreaterThan(30)
    expect([...named]).toEqual(
      expect.arrayContaining([
        'tenant provision --owner-email',
        'apikey create --scope',
        'subscription change --trial-until',
        'audit prune --before',
        'billing run --as-of',
        'webhook deliveries --since',
        'license issue --expires',
      ]),
    )
  })

  test.for([
    [['tenant', 'provision', 'fresh', '--owner-email', 'no address'], '--owner-email'],
    [['audit', 'prune', '--before', '400d ago', '--yes'], '--before'],
    [['audit', 'tail', '--since', 'yesterday'], '--since'],
    [['tenant', 'provision', 'Acme_Corp'], 'slug'],
  ] as const)(
    '%s is refused under the name %s, also with --json',
    async ([argv, name], { cli }) => {
      const text = await cli(...argv)
      const json = await cli(...argv, '--json')

      expect([text.exit, json.exit]).toEqual([65, 65])
      expect(fieldsIn(text.said)).toEqual([name])
      expect(Object.keys(JSON.parse(json.said).error.details)).toEqual([name])
    },
  )

  test('says how a past time is written', async ({ cli }) => {
    const { said } = await cli('audit', 'prune', '--before', '400d ago', '--yes')

    expect(said).toContain('--before: must be an age such as 90m, 12h or 30d')
  })
})
