import { rm } from 'node:fs/promises'
import type { TestProject } from 'vitest/node'
import { startEmbeddedServer, stopEmbeddedServer } from '../../src/core/db/embedded-server.js'
import { formatDatabaseUrl } from '../../src/core/db/server-address.js'
import { isCampaign, seed } from './campaign.js'
import { makeThrowAwayFolder } from './throw-away-folder.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The provisioner's login on the server under test. */
    databaseUrl: string
    /** Whether the server outlives the run, so that what the tests made must be dropped. */
    keepsData: boolean
  }
}

/** One throw-away server for the whole run, by the project's own launcher; or the one that is given. */
export async function setup({ provide }: TestProject): Promise<(() => Promise<void>) | undefined> {
  process.stderr.write(`VALIDONX_TEST_SEED=${seed}${isCampaign ? ', at full size' : ''}\n`)
  const given = process.env.VALIDONX_TEST_DATABASE_URL
  if (given) {
    provide('databaseUrl', given)
    provide('keepsData', true)
    return undefined
  }
  const home = await makeThrowAwayFolder('tests')
  const server = await startEmbeddedServer(home, { durable: false })
  provide('databaseUrl', formatDatabaseUrl(server.address, server.login))
  provide('keepsData', false)
  return async () => {
    await stopEmbeddedServer(home)
    await rm(home, { recursive: true, force: true })
  }
}
