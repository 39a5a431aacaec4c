import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, inject, onTestFinished } from 'vitest'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import { lintMigration, lintShipped } from '../../../src/core/fleet/lint-migration.js'
import { migrateFleet } from '../../../src/core/fleet/migrate-fleet.js'
import { scaffoldMigration } from '../../../src/core/fleet/scaffold-migration.js'
import {
  addMigrations,
  databaseOf,
  ledgerOf,
  type PlainMigration,
  toMigration,
} from '../../support/fleet.js'
import { test } from '../../support/house.js'
import { ROOT } from '../../support/source-files.js'

const NOTE: PlainMigration = {
  name: '20991201-01-note',
  up: ['alter table licenses add column note varchar(200) null'],
  down: ['alter table licenses drop column note'],
}
const WIDGETS: PlainMigration = {
  name: '20991202-01-widgets',
  up: ['create table widgets (id int not null primary key) engine = InnoDB row_format = dynamic'],
  down: ['drop table widgets'],
}

describe('the lint', () => {
  test('finds no fault in the migrations of this build', async () => {
    const { count, faults } = await lintShipped()

    expect(faults).toEqual([])
    expect(count).toBeGreaterThan(30)
  })

  test.for([
    [
      'two statements that commit',
      { ...WIDGETS, up: [...WIDGETS.up, ...NOTE.up] },
      /2 statements that commit/,
    ],
    [
      'rows and schema in one',
      { ...NOTE, up: [...NOTE.up, "update licenses set note = ''"] },
      /schema and rows/,
    ],
    ['a column dropped', { ...NOTE, up: NOTE.down, down: NOTE.up }, /-- contract/],
    [
      'a column renamed',
      { ...NOTE, up: ['alter table licenses rename column note to remark'] },
      /-- contract/,
    ],
    ['a type changed', { ...NOTE, up: ['alter table licenses modify note text'] }, /-- contract/],
    ['a table dropped', { ...WIDGETS, up: WIDGETS.down, down: WIDGETS.up }, /-- contract/],
    ['nothing sent', { ...NOTE, up: [] }, /"up" sends nothing/],
    ['no way back', { ...NOTE, down: [] }, /"down" sends nothing/],
    ['a name without a day', { ...NOTE, name: 'note' }, /its name/],
  ] as const)('refuses %s, and says why', async ([, plain, why]) => {
    const faults = await lintMigration(toMigration(plain))

    expect(faults).toEqual([{ migration: plain.name, fault: expect.stringMatching(why) }])
  })

  test.for([
    [
      'a column dropped by contract',
      { ...NOTE, up: [`${NOTE.down[0]} -- contract`], down: NOTE.up },
    ],
    [
      'an index dropped',
      {
        ...NOTE,
        up: ['alter table licenses drop index licenses_key'],
        down: ['create index licenses_key on licenses (id)'],
      },
    ],
    [
      'several statements that change rows',
      { ...NOTE, up: ['update a set b = 1', 'delete from c'], down: ['update a set b = 0'] },
    ],
  ] as const)('lets %s pass', async ([, plain]) => {
    expect(await lintMigration(toMigration(plain))).toEqual([])
  })

  test('refuses a file without a way back, and a file that cannot be loaded', async ({ cli }) => {
    const folder = await mkdtemp(join(tmpdir(), 'validonx-lint-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const file = join(folder, 'forward.mjs')
    await writeFile(
      file,
      "export const name = '20991201-01-forward'\nexport const up = (db) => db.raw('create table x (id int)')\n",
    )
    const forward = await cli('migration', 'lint', file)
    const missing = await cli('migration', 'lint', join(folder, 'nothing.mjs'))

    expect([forward.exit, forward.out]).toEqual([1, expect.stringContaining('it has no "down"')])
    expect([missing.exit, missing.said]).toEqual([64, expect.stringContaining('cannot be loaded')])
  })
})

describe('a new migration', () => {
  test('is a file under the day’s next number, and the last of its list', async () => {
    const root = await mkdtemp(join(tmpdir(), 'validonx-make-'))
    onTestFinished(() => rm(root, { recursive: true, force: true }))
    await cp(join(ROOT, 'migrations'), join(root, 'migrations'), { recursive: true })
    const now = new Date('2099-12-01T10:00:00Z')
    const first = await scaffoldMigration(root, 'tenant', 'add-note', now)
    const second = await scaffoldMigration(root, 'tenant', 'add-remark', now)
    const index = await readFile(join(root, 'migrations/tenant/index.ts'), 'utf8')

    expect([first, second]).toEqual(
      ['01-add-note', '02-add-remark'].map((name) =>
        join(root, `migrations/tenant/20991201-${name}.ts`),
      ),
    )
    expect(await readFile(first, 'utf8')).toContain("export const name = '20991201-01-add-note'")
    expect(index).toContain("import * as addRemark from './20991201-02-add-remark.js'\n\n/**")
    expect(index).toMatch(/ {2}addNote,\n {2}addRemark,\n\]\n$/)
    for (const what of ['add-note', 'Add', '../x', ''])
      await expect(scaffoldMigration(root, 'tenant', what, now)).rejects.toMatchObject({
        code: 'USAGE.INVALID',
      })
    await expect(scaffoldMigration(tmpdir(), 'tenant', 'x', now)).rejects.toThrow(
      'Run this in a checkout',
    )
  })
})

test('Knex’s own command and ours see one ledger, whoever migrates', async ({
  ctx,
  provisioner,
  tenant,
}) => {
  const database = databaseOf(ctx, tenant.slug)
  const folder = await mkdtemp(join(tmpdir(), 'validonx-knex-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const { address, login } = parseDatabaseUrl(inject('databaseUrl'), {})
  const build = pathToFileURL(join(ROOT, 'dist/migrations/tenant/index.js')).href
  const knexfile = join(folder, 'knexfile.mjs')
  await writeFile(
    knexfile,
    `import { tenantMigrations } from ${JSON.stringify(build)}
const sending = (statements) => async (db) => { for (const sql of statements) await db.raw(sql) }
const extra = JSON.parse(process.env.EXTRA).map(({ name, up, down }) => ({ name, up: sending(up), down: sending(down) }))
export default {
  client: 'mysql2',
  connection: ${JSON.stringify({ ...address, ...login, database })},
  migrations: { migrationSource: {
    getMigrations: async () => [...tenantMigrations, ...extra],
    getMigrationName: ({ name }) => name,
    getMigration: async (migration) => migration,
  } },
}
`,
  )
  const knex = async (command: string, extra: readonly PlainMigration[]) => {
    const home = join(ROOT, 'node_modules/knex')
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(home, 'bin/cli.js'), command, '--knexfile', knexfile],
      {
        env: {
          PATH: process.env.PATH,
          NO_COLOR: '1',
          KNEX_PATH: join(home, 'knex.js'),
          EXTRA: JSON.stringify(extra),
        },
      },
    )
    return stdout
  }

  const asProvisioned = await knex('migrate:latest', [])
  const listed = await knex('migrate:list', [NOTE])
  const byKnex = await knex('migrate:latest', [NOTE])
  onTestFinished(addMigrations([NOTE, WIDGETS]))
  const byUs = await migrateFleet(ctx, { kind: 'new', wish: { slugs: [tenant.slug] } })
  const afterUs = await knex('migrate:list', [NOTE, WIDGETS])
  const back = await knex('migrate:rollback', [NOTE, WIDGETS])

  expect(asProvisioned).toContain('Already up to date')
  expect(listed).toMatch(/No Pending Migration|Found 1 Pending Migration/)
  expect(byKnex).toMatch(/Batch 2 run: 1 migrations/)
  expect(byUs.outcome).toMatchObject({ status: 'done', done: 1 })
  expect(byUs.plan.migrations.map(({ name }) => name)).toEqual([WIDGETS.name])
  expect(afterUs).toMatch(/No Pending Migration/)
  expect(back).toMatch(/Batch 3 rolled back: 1 migrations/)
  expect(await ledgerOf(provisioner, database)).toMatchObject({ [NOTE.name]: 1 })
})
