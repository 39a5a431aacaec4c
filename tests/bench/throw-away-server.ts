import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedOptions,
  startEmbeddedServer,
  stopEmbeddedServer,
} from '../../src/core/db/embedded-server.js'
import { formatDatabaseUrl } from '../../src/core/db/server-address.js'
import { openProvisioner } from '../support/platform.js'

export type ThrowAwayServer = AsyncDisposable & {
  /** An empty folder for whatever else the bench needs; it goes with the server. */
  readonly folder: string
  readonly socketPath: string
  readonly databaseUrl: string
  readonly version: string
}

/** A database server of the bench's own, by the project's launcher. It and its data go when it is disposed of. */
export async function startThrowAwayServer(options: EmbeddedOptions): Promise<ThrowAwayServer> {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-bench-'))
  const home = join(folder, 'server')
  const remove = async (): Promise<void> => {
    await stopEmbeddedServer(home)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { address, login } = await startEmbeddedServer(home, options)
    const databaseUrl = formatDatabaseUrl(address, login)
    await using provisioner = openProvisioner(databaseUrl)
    const [row] = await provisioner.rows<{ version: string }>('select version() as version')
    return {
      folder,
      socketPath: address.socketPath ?? '',
      databaseUrl,
      version: row?.version ?? 'unknown',
      [Symbol.asyncDispose]: remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}
