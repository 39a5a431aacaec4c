import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../errors.js'

export type MigrationHome = 'tenant' | 'platform'

const WORDS = /^[a-z0-9]+(-[a-z0-9]+)*$/

/**
 * Writes a new migration file into a checkout and puts it at the end of its list. Answers its path.
 *
 * @throws USAGE.INVALID where the name is no name, or the folder is no checkout
 */
export async function scaffoldMigration(
  root: string,
  home: MigrationHome,
  what: string,
  now: Date,
): Promise<string> {
  if (!WORDS.test(what) || what.length > 100)
    throw new AppError(
      'USAGE.INVALID',
      `"${what}" is no name for a migration. Use lower-case words joined by "-", such as "add-license-note".`,
    )
  const folder = join(root, 'migrations', home)
  const index = join(folder, 'index.ts')
  if (!existsSync(index))
    throw new AppError(
      'USAGE.INVALID',
      `There is no "${join('migrations', home, 'index.ts')}" here. Run this in a checkout of validonx.`,
    )
  const name = await freshName(folder, what, now)
  const path = join(folder, `${name}.ts`)
  await writeFile(path, fileOf(name), { flag: 'wx' })
  await writeFile(index, listed(await readFile(index, 'utf8'), name))
  return path
}

/** The day, and a number above those that the day has. */
async function freshName(folder: string, what: string, now: Date): Promise<string> {
  const files = await readdir(folder)
  if (files.some((file) => file.replace(/^\d{8}-\d{2}-/, '') === `${what}.ts`))
    throw new AppError('USAGE.INVALID', `There is a migration "${what}" already.`)
  const day = now.toISOString().slice(0, 10).replaceAll('-', '')
  const taken = files.flatMap((file) => {
    const number = new RegExp(`^${day}-(\\d{2})-`).exec(file)?.[1]
    return number === undefined ? [] : [Number(number)]
  })
  return `${day}-${String(Math.max(0, ...taken) + 1).padStart(2, '0')}-${what}`
}

const fileOf = (name: string): string => `import type { Knex } from 'knex'

export const name = '${name}'

/** What it is for. */
export async function up(db: Knex): Promise<void> {
  await db.raw('')
}

export async function down(db: Knex): Promise<void> {
  await db.raw('')
}
`

function listed(index: string, name: string): string {
  const variable = name
    .replace(/^\d{8}-\d{2}-/, '')
    .replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
  const identifier = /^\d/.test(variable) ? `m${variable}` : variable
  const imports = `import * as ${identifier} from './${name}.js'\n`
  const lastImport = index.lastIndexOf('\nimport ')
  const afterImports = index.indexOf('\n', lastImport + 1) + 1
  const withImport = index.slice(0, afterImports) + imports + index.slice(afterImports)
  const end = withImport.lastIndexOf(']')
  return `${withImport.slice(0, end)}  ${identifier},\n${withImport.slice(end)}`
}
