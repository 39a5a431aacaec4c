import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { quoteName } from '../../../src/core/db/sql.js'
import { addMigrations, databaseOf, type PlainMigration } from '../../support/fleet.js'
import { test as house, provisionFleet, runCli } from '../../support/house.js'

const WIDGETS: PlainMigration = {
  name: '20991201-01-widgets',
  up: ['create table widgets (id int not null primary key) engine = InnoDB'],
  down: ['drop table widgets'],
}

const test = house
  .extend('slugs', async ({ ctx }) => provisionFleet(ctx, 3))
  .extend('newer', async ({ slugs: _ }, { onCleanup }) => {
    onCleanup(addMigrations([WIDGETS]))
  })
  .extend('folder', async ({ task: _ }, { onCleanup }) => {
    const folder = await mkdtemp(join(tmpdir(), 'validonx-migrate-'))
    onCleanup(() => rm(folder, { recursive: true, force: true }))
    return folder
  })

const lines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('validonx tenant migrate', () => {
  test('--check tells by its exit status whether something is pending, and changes nothing', async ({
    cli,
    slugs,
    newer: _,
  }) => {
    const pending = await cli('tenant', 'migrate', '--check', ...slugs)
    const still = await cli('tenant', 'migrate', '--check', '--json', ...slugs)
    const done = await cli('tenant', 'migrate', ...slugs)
    const none = await cli('tenant', 'migrate', '--check', ...slugs)

    expect([pending.exit, still.exit, done.exit, none.exit]).toEqual([3, 3, 0, 0])
    expect(pending.out).toContain('3 of 3 tenants are not at 20991201-01-widgets.')
    expect(JSON.parse(still.out)).toMatchObject({ pending: 3, up_to_date: 0, refused: [] })
    expect(done.out).toMatch(
      /^done: 3 done, 0 failed, 0 left, 0 up to date, in \d+ s\nrollout [0-9a-f-]{36}\n$/,
    )
    expect(none.out).toContain('Nothing is pending')
  })

  test('--dry-run shows the SQL', async ({ cli, slugs, newer: _ }) => {
    const { exit, out } = await cli('tenant', 'migrate', '--dry-run', ...slugs)

    expect(exit).toBe(0)
    expect(out).toContain(`-- ${WIDGETS.name}\n${WIDGETS.up[0]};`)
  })

  test('names who failed, exits 1, and writes a summary; --retry-failed does them', async ({
    ctx,
    cli,
    provisioner,
    slugs,
    folder,
    newer: _,
  }) => {
    const [broken = ''] = slugs
    const widgets = `${quoteName(databaseOf(ctx, broken))}.widgets`
    await provisioner.run(`create table ${widgets} (id int)`)
    const summary = join(folder, 'summary.md')
    const failed = await cli(
      'tenant',
      'migrate',
      '--canary',
      '0',
      '--summary',
      summary,
      '--json',
      ...slugs,
    )
    const rollout = String(lines(failed.out).at(-1)?.rollout)
    const shown = await cli('tenant', 'rollout', 'show', rollout.slice(-12))
    const listed = await cli('tenant', 'rollouts', '--json')
    await provisioner.run(`drop table ${widgets}`)
    const again = await cli('tenant', 'migrate', '--retry-failed')

    expect(failed.exit).toBe(1)
    expect(lines(failed.out).at(-1)).toMatchObject({
      event: 'summary',
      status: 'failed',
      done: 2,
      failed: 1,
      failures: [{ tenant: broken, code: 'MIGRATION.HALF_DONE' }],
    })
    expect(await readFile(summary, 'utf8')).toContain(`| ${broken} | \`MIGRATION.HALF_DONE\` |`)
    expect(shown.out).toMatch(new RegExp(`status +failed[\\s\\S]*${broken} +The schema of`))
    expect(lines(listed.out)[0]).toMatchObject({ id: rollout, counts: { done: 2, failed: 1 } })
    expect([again.exit, again.out]).toEqual([0, expect.stringContaining('done: 1 done, 0 failed')])
  })

  test('takes slugs from a file, from stdin and from a list', async ({
    environment,
    cli,
    slugs,
    folder,
    newer: _,
  }) => {
    const [one = '', two = '', three = ''] = slugs
    const file = join(folder, 'slugs')
    await writeFile(file, `# the first\n${one}\n\n`)
    const byFile = await cli('tenant', 'migrate', '--from-file', file, '--json')
    const byStdin = await runCli(
      environment,
      ['tenant', 'migrate', '--from-file', '-', '--json'],
      `${two}\n`,
    )
    const byList = await cli(
      'tenant',
      'migrate',
      '--tenants',
      slugs.join(','),
      '--exclude',
      `${one},${two}`,
      '--json',
    )

    for (const [run, slug] of [
      [byFile, one],
      [byStdin, two],
      [byList, three],
    ] as const)
      expect(lines(run.out).flatMap((e) => (e.event === 'done' ? [e.tenant] : []))).toEqual([slug])
  })

  test('prints what a rollback takes back before it asks, also with --yes and --json', async ({
    cli,
    slugs: [first = '', ...others],
    newer: _,
  }) => {
    await cli('tenant', 'migrate', ...others)
    const named = ['tenant', 'migrate', '--rollback', first, ...others]
    const dry = await cli(...named, '--dry-run')
    const asked = await cli(...named)
    const json = await cli(...named, '--json')
    const told = await cli(...named, '--yes')
    const listed = await cli('tenant', 'rollouts')
    const plan = [
      'Undoes rollout ',
      'This takes back, with the data in it:',
      `${WIDGETS.name}  schema  2`,
      `Skipped (never had it): ${first}`,
    ]

    for (const line of plan) {
      expect(dry.out).toContain(line)
      expect(asked.said).toContain(line)
      expect(told.said).toContain(line)
    }
    expect(dry.out).toContain(`-- ${WIDGETS.name}\n${WIDGETS.down[0]};`)
    expect([asked.exit, asked.said]).toEqual([
      64,
      expect.stringContaining('USAGE.CONFIRMATION_NEEDED'),
    ])
    expect(lines(json.out)).toEqual([
      expect.objectContaining({
        event: 'plan',
        direction: 'down',
        pending: 2,
        left_alone: [{ tenant: first, keeps: [] }],
        migrations: [expect.objectContaining({ name: WIDGETS.name, tenants: 2 })],
      }),
    ])
    expect([told.exit, told.out]).toEqual([
      0,
      expect.stringContaining('done: 2 done, 0 failed, 0 left, 1 left alone'),
    ])
    expect(listed.out).toMatch(/ undo of [0-9a-f]{12} /)
  })

  test('says it in words that fit if there is nothing to do', async ({ cli, slugs, newer: _ }) => {
    const [one = ''] = slugs
    await cli('tenant', 'migrate', ...slugs)
    const single = await cli('tenant', 'migrate', one)
    const resumed = await cli('tenant', 'migrate', '--resume')
    const back = await cli('tenant', 'migrate', one, '--rollback', '--to', WIDGETS.name)
    const nobody = await cli('tenant', 'migrate', one, '--status', 'failed')

    expect([single, resumed, back, nobody].map(({ exit }) => exit)).toEqual([0, 0, 0, 0])
    expect(single.out).toBe(`Nothing is pending: 1 tenant is at ${WIDGETS.name}.\n`)
    expect(resumed.out).toMatch(/^Rollout [0-9a-f]{12} is done: nothing is left to do.\n$/)
    expect(back.out).toBe(
      `Nothing to take back: the tenant has no migration after ${WIDGETS.name}.\n`,
    )
    expect(nobody.out).toBe('There is no tenant to migrate.\n')
  })

  test.for([
    [['--concurrency', '0'], 65],
    [['--concurrency', 'many'], 64],
    [['--batch-size', '0'], 65],
    [['--max-failures', '-1'], 64],
    [['--step', '2'], 64],
    [['--resume', '--retry-failed'], 64],
    [['--resume', '--to', 'x'], 64],
    [['--resume', '--check'], 64],
    [['--to', 'nothing'], 66],
    [['--to', 'x', '--rollback'], 66],
    [['--to', 'x', '--rollback', '--step', '1'], 64],
    [['--rollout', 'x'], 64],
    [['--rollback', '--rollout', 'x'], 66],
    [['--rollback', '--step', '99'], 65],
    [['--status', 'odd'], 65],
    [['--tenants', 'nobody'], 66],
    [['--from-file', '/nonexistent/file'], 64],
    [['--summary', '/nonexistent/file'], 64],
  ] as const)('refuses %o', async ([argv, exit], { cli, slugs, newer: _ }) => {
    const named =
      argv[0] === '--resume' || argv[0] === '--tenants' || argv[0] === '--from-file' ? [] : slugs
    const run = await cli('tenant', 'migrate', ...named, ...argv)

    expect([run.exit, run.said]).toEqual([exit, expect.stringMatching(/\[[A-Z_.]+\]/)])
  })
})
