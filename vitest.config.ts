import { defineConfig } from 'vitest/config'

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
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
