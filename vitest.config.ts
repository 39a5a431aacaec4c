import { defineConfig } from 'vitest/config'

/** One seed for the whole run, which `tests/support/campaign.ts` reads. */
process.env.VALIDONX_TEST_SEED ??= String(Math.floor(Math.random() * 2 ** 31))

/** What needs no database: the inner loop. */
const UNIT = ['tests/**/*.unit.test.ts', 'tests/architecture.test.ts']

export default defineConfig({
  test: {
    projects: [
      {
        test: { name: 'unit', include: UNIT },
      },
      {
        test: {
          name: 'database',
          include: ['tests/**/*.test.ts'],
          exclude: UNIT,
          globalSetup: 'tests/support/database-server.ts',
          // only what hangs takes so long: no test fails because the machine is slow
          testTimeout: process.env.VALIDONX_TEST_CAMPAIGN === '1' ? 3_600_000 : 300_000,
          hookTimeout: 300_000,
          expect: { poll: { timeout: 150_000, interval: 10 } },
          // a third one works while two wait for the database or a process
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
