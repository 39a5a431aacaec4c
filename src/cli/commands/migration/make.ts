import { relative } from 'node:path'
import { systemClock } from '../../../core/clock.js'
import { AppError } from '../../../core/errors.js'
import { scaffoldMigration } from '../../../core/fleet/scaffold-migration.js'
import { createCommand } from '../../command.js'
import { type Runtime, withTerminal } from '../../runtime.js'

export const migrationMake = (runtime: Runtime) =>
  createCommand({
    name: 'make',
    about: 'write a new migration file into this checkout, and list it',
    examples: [
      ['migration make add-license-note', 'for every tenant database'],
      ['migration make add-region --platform', 'for the platform database'],
    ],
  })
    .argument('<name>', 'what it does, in lower-case words joined by "-"')
    .option('--tenant', 'for tenant databases (the default)')
    .option('--platform', 'for the platform database')
    .action(
      withTerminal(
        runtime,
        async ({ terminal }, what: string, options: { tenant?: true; platform?: true }) => {
          if (options.tenant && options.platform)
            throw new AppError('USAGE.INVALID', 'Choose one of --tenant and --platform.')
          const home = options.platform ? 'platform' : 'tenant'
          const path = await scaffoldMigration(runtime.folder, home, what, systemClock())
          await terminal.record({ path }, () => relative(runtime.folder, path))
          terminal.remark(
            'One statement that changes the schema, or statements that change rows. Then: npm run build, validonx migration lint',
          )
        },
      ),
    )
