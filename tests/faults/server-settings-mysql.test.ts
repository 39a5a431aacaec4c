import { test } from 'vitest'
import { testServerSettings } from '../support/server-settings.js'

/** A MySQL that nothing else uses meanwhile: its global settings are changed and set back. */
const url = process.env.VALIDONX_TEST_MYSQL

if (url === undefined) test.skip('needs a MySQL in VALIDONX_TEST_MYSQL', () => {})
else
  testServerSettings('MySQL', async () => ({
    databaseUrl: url,
    [Symbol.asyncDispose]: async () => {},
  }))
