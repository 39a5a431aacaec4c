import { text } from 'node:stream/consumers'
import { addServer } from '../../../core/fleet/add-server.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const serverAdd = (runtime: Runtime) =>
  createCommand({
    name: 'add',
    about:
      'register a further database server for tenants; its URL is read from standard input or asked for',
    examples: [
      ['server add eu-2 --capacity 5000 < eu-2.url', 'a file with mysql://user:password@host:port'],
      ['server add eu-2', 'asks for the URL'],
    ],
  })
    .argument('<name>', 'what it is called from now on')
    .option('--capacity <tenants>', 'how many tenants it is meant to hold', '10000')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, name: string, { capacity }: { capacity: string }) => {
          // never an argument: those can be read by every user of the machine
          const url = terminal.canAsk
            ? await terminal.askSecret("The provisioner's URL there")
            : await text(runtime.stdin)
          const server = await addServer(ctx, { name, url: url.trim(), capacity: Number(capacity) })
          await terminal.record(
            {
              id: server.id,
              name: server.name,
              version: server.version,
              capacity: server.capacity,
            },
            () =>
              `${server.name} is registered: ${server.version}, room for ${server.capacity} tenants`,
          )
        },
      ),
    )
