import { type EmbeddedStatus, embeddedStatus } from '../../../core/db/embedded-server.js'
import { createCommand } from '../../command.js'
import { type Runtime, withSession } from '../../runtime.js'
import { formatFields } from '../../terminal.js'

export const devStatus = (runtime: Runtime) =>
  createCommand({
    name: 'status',
    about: 'show whether the embedded database server runs, and where',
    examples: [['dev status', 'the nearest .validonx, here or in a folder above']],
  }).action(
    withSession(runtime, async ({ terminal, loaded }) => {
      const status = await embeddedStatus(loaded.config.home)
      await terminal.record(
        { ...status, pid: status.pid ?? null, version: status.version ?? null },
        () =>
          formatFields([
            ['embedded server', stateText(status)],
            ['version', status.version],
            ['pid', status.pid === undefined ? undefined : String(status.pid)],
            ['socket', status.socket],
            ['data', status.data],
          ]),
      )
    }),
  )

function stateText({ running, answering }: EmbeddedStatus): string {
  if (!running) return 'not running'
  return answering ? 'running' : 'running, but it does not answer: "validonx dev stop" ends it'
}
