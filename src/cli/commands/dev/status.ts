import { embeddedStatus } from '../../../core/db/embedded-server.js'
import { createCommand } from '../../command.js'
import { type Runtime, withSession } from '../../runtime.js'
import { formatFields } from '../../terminal.js'

export const devStatus = (runtime: Runtime) =>
  createCommand({
    name: 'status',
    about: 'tell whether the embedded database server runs, and where',
    examples: [['dev status', 'that of ./.validonx']],
  }).action(
    withSession(runtime, async ({ terminal, loaded }) => {
      const status = await embeddedStatus(loaded.config.home)
      await terminal.record(
        { ...status, pid: status.pid ?? null, version: status.version ?? null },
        () =>
          formatFields([
            ['embedded server', status.running ? 'running' : 'not running'],
            ['version', status.version],
            ['pid', status.pid === undefined ? undefined : String(status.pid)],
            ['socket', status.socket],
            ['data', status.data],
          ]),
      )
    }),
  )
