import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'

/** A MySQL-protocol server on this machine, and how to use it. */
export type DatabaseBinary = {
  readonly server: string
  readonly version: string
  /** Command and arguments that make an empty data folder with a root login without password. */
  createCommand(data: string): readonly string[]
  serverOptions(wish: { readonly durable: boolean }): readonly string[]
}

/** Where packages put servers without putting them on everybody's PATH. */
const EXTRA_FOLDERS = [
  '/usr/sbin',
  '/usr/local/sbin',
  '/usr/libexec',
  '/usr/local/mysql/bin',
  '/opt/homebrew/opt/mariadb/bin',
  '/opt/homebrew/opt/mysql/bin',
  '/usr/local/opt/mariadb/bin',
  '/usr/local/opt/mysql/bin',
]

/** MariaDB where there is one, else MySQL; undefined where there is neither. */
export async function findDatabaseBinary(
  path = process.env.PATH ?? '',
): Promise<DatabaseBinary | undefined> {
  const folders = [...path.split(delimiter).filter(Boolean), ...EXTRA_FOLDERS]
  for (const name of ['mariadbd', 'mysqld']) {
    const server = await firstExecutable(folders.map((folder) => join(folder, name)))
    if (!server) continue
    const version = await versionOf(server)
    const binary = /mariadb/i.test(version)
      ? await mariaDb(server, version, folders)
      : mySql(server, version)
    // a MariaDB without its installer is of no use; there may be a MySQL
    if (binary) return binary
  }
  return undefined
}

/** What its programs are run with. A server that starts clears the temporary tables of all others from its folder. */
export const programEnvironment = (temporaryFolder: string): NodeJS.ProcessEnv => ({
  ...process.env,
  TMPDIR: temporaryFolder,
})

async function mariaDb(
  server: string,
  version: string,
  folders: readonly string[],
): Promise<DatabaseBinary | undefined> {
  const around = [
    dirname(server),
    join(dirname(server), '../bin'),
    join(dirname(server), '../scripts'),
    ...folders,
  ]
  const installer = await firstExecutable(
    around.flatMap((folder) => [
      join(folder, 'mariadb-install-db'),
      join(folder, 'mysql_install_db'),
    ]),
  )
  if (!installer) return undefined
  return {
    server,
    version,
    createCommand: (data) => [
      installer,
      '--no-defaults',
      `--datadir=${data}`,
      '--auth-root-authentication-method=normal',
      // the test database and the anonymous user are open to everyone
      '--skip-test-db',
      '--skip-name-resolve',
      ...asRoot(),
    ],
    serverOptions: ({ durable }) => (durable ? [] : ['--debug-no-sync']),
  }
}

const mySql = (server: string, version: string): DatabaseBinary => ({
  server,
  version,
  createCommand: (data) => [
    server,
    '--no-defaults',
    '--initialize-insecure',
    `--datadir=${data}`,
    ...asRoot(),
  ],
  // a package may leave out the folder that it is built to read files from
  serverOptions: () => ['--mysqlx=OFF', '--disable-log-bin', '--secure-file-priv=NULL'],
})

const asRoot = (): string[] => (process.getuid?.() === 0 ? ['--user=root'] : [])

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return path
  }
  return undefined
}

async function versionOf(server: string): Promise<string> {
  const { stdout } = await promisify(execFile)(server, ['--no-defaults', '--version']).catch(
    () => ({ stdout: '' }),
  )
  return stdout.trim()
}
