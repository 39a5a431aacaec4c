import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type EmbeddedOptions,
  embeddedStatus,
  startEmbeddedServer,
  stopEmbeddedServer,
} from '../../src/core/db/embedded-server.js'
import { formatDatabaseUrl } from '../../src/core/db/server-address.js'
import { openProvisioner } from './platform.js'
import { makeThrowAwayFolder } from './throw-away-folder.js'

export type ThrowAwayServer = AsyncDisposable & {
  /** An empty folder for whatever else is needed; it goes with the server. */
  readonly folder: string
  readonly socketPath: string
  readonly databaseUrl: string
  readonly version: string
  /** Kills it where it stands, and starts it again at the same address: what was committed is there. */
  crash(): Promise<void>
}

/** A database server of one's own, by the project's launcher. It and its data go when it is disposed of. */
export async function startThrowAwayServer(options: EmbeddedOptions): Promise<ThrowAwayServer> {
  const folder = await makeThrowAwayFolder('own')
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
      crash: async () => {
        const { pid } = await embeddedStatus(home)
        if (pid === undefined) throw new Error('the server is not there to be killed')
        process.kill(pid, 'SIGKILL')
        await startEmbeddedServer(home, options)
      },
      [Symbol.asyncDispose]: remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}
