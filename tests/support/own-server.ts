import { openProvisioner } from './platform.js'
import { startThrowAwayServer } from './throw-away-server.js'

/** A server that a test file has for itself, so that it may change its global settings. */
export type OwnServer = AsyncDisposable & {
  readonly databaseUrl: string
  readonly isMariaDb: boolean
  has(setting: string): Promise<boolean>
  /** Runs `work` with these global settings, and puts them back as they were. */
  withSettings<T>(settings: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T>
  run(sql: string, values?: readonly unknown[]): Promise<unknown>
  rows<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>
}

/**
 * A throw-away server, or the one at VALIDONX_TEST_OWN_DATABASE_URL, which nobody else may use meanwhile:
 * a MySQL 9 where the machine's own server is a MariaDB.
 */
export async function startOwnServer(serverOptions: readonly string[] = []): Promise<OwnServer> {
  const given = process.env.VALIDONX_TEST_OWN_DATABASE_URL
  const server = given ? undefined : await startThrowAwayServer({ durable: false, serverOptions })
  const databaseUrl = given ?? server?.databaseUrl ?? ''
  const provisioner = openProvisioner(databaseUrl)
  const readSetting = async (setting: string): Promise<string | undefined> => {
    const [row] = await provisioner.rows<{ Value: string }>(
      'show global variables where variable_name = ?',
      [setting],
    )
    return row?.Value
  }
  const set = (setting: string, value: string) =>
    provisioner.run(
      `set global ${setting} = ${value === '' ? 'default' : /^-?\d+$/.test(value) ? value : `'${value.replaceAll("'", "''")}'`}`,
    )
  // the policies that tests set are for the accounts of validonx
  await provisioner.run('alter user current_user() password expire never')
  const [row] = await provisioner.rows<{ version: string }>('select version() as version')
  return {
    databaseUrl,
    isMariaDb: /mariadb/i.test(row?.version ?? ''),
    has: async (setting) => (await readSetting(setting)) !== undefined,
    async withSettings(settings, work) {
      const before: [string, string][] = []
      try {
        for (const [setting, value] of Object.entries(settings)) {
          before.push([setting, (await readSetting(setting)) ?? ''])
          await set(setting, value)
        }
        return await work()
      } finally {
        for (const [setting, value] of before.reverse()) await set(setting, value)
      }
    },
    run: (sql, values) => provisioner.run(sql, values),
    rows: (sql, values) => provisioner.rows(sql, values),
    async [Symbol.asyncDispose]() {
      await provisioner[Symbol.asyncDispose]()
      await server?.[Symbol.asyncDispose]()
    },
  }
}
