import { stopEmbeddedServer } from '../../../core/db/embedded-server.js'
import { createCommand } from '../../command.js'
import { type Runtime, withSession } from '../../runtime.js'

export const devStop = (runtime: Runtime) =>
  createCommand({
    name: 'stop',
    about: 'stop the embedded database server; its data stays',
    examples: [['dev stop', 'the next command starts it again']],
  }).action(
    withSession(runtime, async ({ terminal, loaded }) => {
      const stopped = await stopEmbeddedServer(loaded.config.home)
      await terminal.record({ stopped }, () =>
        stopped
          ? `The embedded server of ${loaded.config.home} has stopped.`
          : `No embedded server of ${loaded.config.home} was running.`,
      )
    }),
  )
