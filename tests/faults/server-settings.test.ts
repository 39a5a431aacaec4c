import { describe, expect, test } from 'vitest'
import { isCampaign } from '../support/campaign.js'
import { differencesBetween, takeJourney } from '../support/journey.js'
import { testServerSettings } from '../support/server-settings.js'
import { startThrowAwayServer } from '../support/throw-away-server.js'

testServerSettings('MariaDB', () =>
  startThrowAwayServer({
    durable: false,
    // without these a session cannot switch it on
    serverOptions: ['--query-cache-type=1', '--query-cache-size=1M'],
  }),
)

describe.runIf(isCampaign)('on a MariaDB that ignores the character set of its clients', () => {
  test('everything is stored and answered as on a plain server', { timeout: 300_000 }, async () => {
    const options = [
      '--skip-character-set-client-handshake',
      '--character-set-server=latin1',
      '--collation-server=latin1_swedish_ci',
    ]
    await using plain = await startThrowAwayServer({ durable: false })
    await using deaf = await startThrowAwayServer({ durable: false, serverOptions: options })
    const journey = await takeJourney(deaf.databaseUrl)

    expect(journey.faults).toEqual([])
    expect(differencesBetween(await takeJourney(plain.databaseUrl), journey)).toEqual([])
  })
})
