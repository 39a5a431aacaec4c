import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, sourceFiles } from './support/source-files.js'

/** The house plan, ground floor first. A room may use itself and the rooms that its row names. */
const GROUND = ['core']
const HOUSE = [
  ...GROUND,
  'core/crypto',
  'core/db',
  'core/servers',
  'core/context',
  'core/events',
  'core/tenants',
]
const NOUNS = [
  ...HOUSE,
  'core/billing',
  'core/identity',
  'core/access',
  'core/entitlements',
  'core/products',
  'core/licensing',
  'core/usage',
  'core/webhooks',
  'core/subscriptions',
  'core/export',
  'core/audit',
]
const PLAN: Readonly<Record<string, readonly string[]>> = {
  migrations: [],
  seeds: [],
  core: [],
  'core/crypto': GROUND,
  'core/db': [...GROUND, 'core/crypto', 'migrations'],
  'core/servers': [...GROUND, 'core/db'],
  'core/context': [...GROUND, 'core/crypto', 'core/db', 'core/servers'],
  'core/events': [...GROUND, 'core/db', 'core/context'],
  'core/tenants': [...GROUND, 'core/db', 'core/servers', 'core/context', 'core/events', 'seeds'],
  'core/billing': [...HOUSE],
  'core/identity': [...HOUSE],
  'core/access': [...HOUSE, 'core/billing', 'core/identity'],
  'core/entitlements': [...HOUSE, 'core/billing'],
  'core/products': [...HOUSE, 'core/entitlements'],
  'core/licensing': [...HOUSE, 'core/billing', 'core/entitlements', 'core/products', 'seeds'],
  'core/usage': [...HOUSE, 'core/billing', 'core/entitlements', 'core/licensing'],
  'core/webhooks': [...HOUSE, 'core/entitlements'],
  'core/subscriptions': [
    ...HOUSE,
    'core/billing',
    'core/entitlements',
    'core/usage',
    'core/webhooks',
  ],
  'core/export': [...HOUSE],
  'core/audit': [...HOUSE, 'core/webhooks'],
  'core/fleet': [...NOUNS, 'migrations', 'seeds'],
  'core/provisioning': [...NOUNS, 'core/fleet', 'migrations', 'seeds'],
  'core/platform': [...NOUNS, 'core/fleet', 'migrations', 'seeds'],
  server: [...NOUNS],
  cli: [...NOUNS, 'core/fleet', 'core/provisioning', 'core/platform', 'seeds'],
  // the one door from the terminal to the server, opened only to serve
  'cli/serving': ['core', 'core/context', 'core/platform', 'cli', 'server'],
}

/** Files that are rooms of their own. */
const SPECIAL: Readonly<Record<string, string>> = {
  'src/core/context.ts': 'core/context',
  'src/cli/serving.ts': 'cli/serving',
}
/** Who may go through the special door. */
const SERVING_COMMANDS = ['src/cli/commands/serve.ts', 'src/cli/commands/dev/demo.ts']

const IMPORTS = /(?:from|import\()\s*'([^']+)'/g

const roomOf = (file: string): string => {
  if (SPECIAL[file]) return SPECIAL[file]
  const [top = '', second = '', third = ''] = file.split('/')
  if (top !== 'src') return top
  return second === 'core' && !third.endsWith('.ts') ? `core/${third}` : second
}

const mayUse = (file: string, from: string, to: string): boolean =>
  from === to ||
  PLAN[from]?.includes(to) === true ||
  (to === 'cli/serving' && SERVING_COMMANDS.includes(file))

function straysOf(file: string, text: string): string[] {
  return [...text.matchAll(IMPORTS)]
    .map(([, path = '']) => path)
    .filter((path) => path.startsWith('.'))
    .map((path) => join(dirname(file), path).replace(/\.js$/, '.ts'))
    .filter((target) => !mayUse(file, roomOf(file), roomOf(target)))
    .map((target) => `${file} -> ${target}`)
}

const readAll = async (...folders: string[]) =>
  Promise.all(
    (await sourceFiles(...folders)).map(async (file) => ({
      file,
      text: await readFile(join(ROOT, file), 'utf8'),
    })),
  )

test('every import keeps to the plan', async () => {
  const files = await readAll('src', 'migrations', 'seeds')
  expect(files.length).toBeGreaterThan(100)
  expect(files.flatMap(({ file, text }) => straysOf(file, text))).toEqual([])
})

test('an import upward, sideways or through the wrong door would be seen', () => {
  expect(
    straysOf('src/core/tenants/tenant.ts', "import { x } from '../provisioning/pipeline.js'"),
  ).toHaveLength(1)
  expect(
    straysOf('src/core/billing/plan.ts', "import { x } from '../licensing/license.js'"),
  ).toHaveLength(1)
  expect(straysOf('src/core/log.ts', "import { x } from './db/connect.js'")).toHaveLength(1)
  expect(
    straysOf('src/core/db/lease.ts', "import { x } from '../../cli/terminal.js'"),
  ).toHaveLength(1)
  expect(
    straysOf('src/server/app.ts', "import { x } from '../core/provisioning/pipeline.js'"),
  ).toHaveLength(1)
  expect(
    straysOf('src/cli/commands/tenant/list.ts', "const x = await import('../../serving.js')"),
  ).toHaveLength(1)
  expect(
    straysOf('migrations/tenant/index.ts', "import { x } from '../../src/core/ids.js'"),
  ).toHaveLength(1)
})

test('every room of the house is in the plan', async () => {
  const rooms = new Set((await sourceFiles('src', 'migrations', 'seeds')).map(roomOf))
  expect([...rooms].sort()).toEqual(Object.keys(PLAN).sort())
})

test('what has one place stays there', async () => {
  const rules: readonly [name: string, form: RegExp, allowed: readonly string[]][] = [
    // Knex's own `await trx.commit()` resolves even where COMMIT failed
    ['transactions in the callback form', /\.(commit|rollback)\(\)/, []],
    [
      'the environment is read at the door',
      /process\.env\b/,
      ['src/cli/main.ts', 'src/core/db/database-binary.ts'],
    ],
    // after an exception that nothing caught
    ['nobody leaves the process', /process\.exit\(/, ['src/cli/main.ts']],
    ['only the terminal prints', /\bconsole\./, []],
    [
      'drivers are loaded in one place',
      /from '(knex|mysql2)'/,
      // it writes the line into a new file
      ['src/core/fleet/scaffold-migration.ts'],
    ],
    ['no escape from the types', /@ts-(ignore|expect-error|nocheck)|: any\b|\bas any\b/, []],
    [
      'never "use" on a login',
      /['"`]\s*use\s+[`$]/i,
      // the provisioner's, which may enter every database anyway, and prepares no statement
      ['src/core/fleet/migration-session.ts'],
    ],
  ]
  const files = await readAll('src')
  for (const [name, form, allowed] of rules) {
    const found = files.filter(
      ({ file, text }) => !allowed.includes(file) && form.test(withoutTypes(text)),
    )
    expect([name, found.map(({ file }) => file)]).toEqual([name, []])
  }
})

/** Without type imports, which are gone when the program runs, and without comments. */
const withoutTypes = (text: string): string =>
  text
    .replaceAll(/^import type [^;]*?from '[^']+'$/gms, '')
    .replaceAll(/\/\*\*.*?\*\//gs, '')
    .replaceAll(/\/\/.*$/gm, '')

test('there are no barrels: an index is an ordered list', async () => {
  const indexes = (await sourceFiles('src', 'migrations', 'seeds')).filter((file) =>
    file.endsWith('/index.ts'),
  )
  expect(indexes).toEqual([
    'migrations/platform/index.ts',
    'migrations/tenant/index.ts',
    'src/core/provisioning/stages/index.ts',
  ])
})

test('a migration is named as its file, listed in order, and one statement each way', async () => {
  for (const folder of ['platform', 'tenant'] as const) {
    const files = (await sourceFiles(`migrations/${folder}`)).filter(
      (file) => !file.endsWith('index.ts'),
    )
    const index = await readFile(join(ROOT, `migrations/${folder}/index.ts`), 'utf8')
    const listed = [...index.matchAll(/from '\.\/(\d[^']+)\.js'/g)].map(([, name]) => name)
    expect(listed).toEqual(files.map((file) => file.split('/').at(-1)?.replace('.ts', '')))
    for (const file of files) {
      const text = await readFile(join(ROOT, file), 'utf8')
      expect(text).toContain(`export const name = '${file.split('/').at(-1)?.replace('.ts', '')}'`)
      expect([file, text.match(/await db\./g)?.length]).toEqual([file, 2])
      expect(text).not.toMatch(/;\s*\n\s*(create|alter|drop)/i)
    }
  }
})
