import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        // needs no database: the inner loop
        test: { name: 'unit', include: ['tests/**/*.unit.test.ts'] },
      },
      {
        test: {
          name: 'database',
          include: ['tests/**/*.test.ts'],
          exclude: ['tests/**/*.unit.test.ts'],
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
