import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { AppError } from '../../../core/errors.js'
import {
  lintMigration,
  lintShipped,
  type MigrationFault,
} from '../../../core/fleet/lint-migration.js'
import { createCommand } from '../../command.js'
import { type Runtime, withTerminal } from '../../runtime.js'

export const migrationLint = (runtime: Runtime) =>
  createCommand({
    name: 'lint',
    about:
      'refuse migrations that could not be resumed, taken back, or run beside the version before',
    examples: [
      ['migration lint', 'all that this build has'],
      ['migration lint dist/migrations/tenant/20261124-01-add-note.js', 'one file'],
    ],
  })
    .argument('[file...]', 'JavaScript files (default: all migrations of this build)')
    .action(
      withTerminal(runtime, async ({ terminal }, files: string[]) => {
        const faults: MigrationFault[] = []
        let count = files.length
        if (files.length === 0) {
          const shipped = await lintShipped()
          count = shipped.count
          faults.push(...shipped.faults)
        }
        for (const file of files) faults.push(...(await lintMigration(await load(runtime, file))))
        await terminal.record({ migrations: count, faults }, () =>
          faults.length === 0
            ? `${count} migrations, no fault.`
            : faults.map(({ migration, fault }) => `${migration}: ${fault}.`).join('\n'),
        )
        if (faults.length > 0) runtime.setExit(1)
      }),
    )

async function load(runtime: Runtime, file: string): Promise<object> {
  try {
    return await import(pathToFileURL(resolve(runtime.folder, file)).href)
  } catch (error) {
    throw new AppError('USAGE.INVALID', `"${file}" cannot be loaded.`).because(error)
  }
}
