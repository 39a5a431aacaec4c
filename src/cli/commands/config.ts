import { entries, presentable } from '../../core/config.js'
import { createCommand } from '../command.js'
import { type Runtime, withSession } from '../runtime.js'

export const config = (runtime: Runtime) =>
  createCommand({
    name: 'config',
    about: 'show every setting in force and where it comes from; secrets are masked',
    examples: [
      ['config', 'as this folder and this environment have it'],
      ['config --env-file production.env', 'as another file has it'],
    ],
  }).action(
    withSession(runtime, async ({ terminal, loaded }) => {
      const rows = entries().map(([name, { variable, about }]) => ({
        variable,
        about,
        value: presentable(name, loaded.config[name]),
        origin: loaded.origins[name],
      }))
      await terminal.rows(
        rows,
        [
          { title: 'variable', value: ({ variable }) => variable },
          { title: 'value', value: ({ value }) => value || '-' },
          { title: 'from', value: ({ origin }) => origin },
        ],
        ({ variable, value, origin }) => ({ variable, value: value === '' ? null : value, origin }),
      )
    }),
  )
