import { entries, inspectConfig, presentable } from '../../core/config.js'
import { isEmbeddedHome } from '../../core/db/embedded-home.js'
import { AppError } from '../../core/errors.js'
import { createCommand } from '../command.js'
import { type CommonOptions, homeOf, type Runtime, sourcesOf, withTerminal } from '../runtime.js'

export const config = (runtime: Runtime) =>
  createCommand({
    name: 'config',
    about: 'show every setting in force and where it comes from; secrets are masked',
    examples: [
      ['config', 'as this folder and this environment have it'],
      ['config --config production.env', 'as another file has it'],
    ],
  }).action(
    withTerminal(runtime, async ({ terminal }, options: CommonOptions) => {
      const { values, origins, faults, ignored, isProduction } = inspectConfig(
        sourcesOf(runtime, options),
      )
      const isEmbedded =
        origins.databaseUrl === 'default' && origins.runtimeUrl === 'default' && !isProduction
      const home = homeOf(runtime, values.home ?? '', origins.home)
      const rows = entries().map(([name, { variable }]) =>
        name === 'databaseUrl' && isEmbedded
          ? {
              variable,
              value: isEmbeddedHome(home) ? `server in ${home}` : `none yet in ${home}`,
              origin: 'embedded',
            }
          : {
              variable,
              value: name === 'home' ? home : presentable(name, values[name]),
              origin: origins[name],
            },
      )
      await terminal.rows(
        rows,
        [
          { title: 'variable', value: ({ variable }) => variable },
          { title: 'value', value: ({ value }) => value || '-' },
          { title: 'from', value: ({ origin }) => origin },
        ],
        ({ variable, value, origin }) => ({ variable, value: value === '' ? null : value, origin }),
      )
      if (ignored.length > 0)
        terminal.remark(
          `Ignored, because Kubernetes made them for a Service: ${ignored.join(', ')}`,
        )
      if (faults.length > 0) throw new AppError('CONFIG.INVALID', faults).with({ faults })
    }),
  )
