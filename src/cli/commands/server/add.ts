import { text } from 'node:stream/consumers'
import { addServer } from '../../../core/fleet/add-server.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'
import { type TlsOptions, withTlsOptions } from './tls-options.js'

type Options = TlsOptions & { readonly capacity: string }

export const serverAdd = (runtime: Runtime) =>
  withTlsOptions(
    createCommand({
      name: 'add',
      fields: { url: 'the URL' },
      about:
        'register a further database server for tenants; its URL is read from standard input or asked for',
      examples: [
        [
          'server add eu-2 --capacity 5000 < eu-2.url',
          'a file with mysql://user:password@host:port',
        ],
        ['server add eu-2', 'asks for the URL'],
        [
          'server add eu-2 --tls verify-ca --ca /etc/validonx/eu.pem < eu-2.url',
          'with a CA of its own',
        ],
      ],
    })
      .argument('<name>', 'what it is called from now on')
      .option('--capacity <tenants>', 'how many tenants it is meant to hold', '10000'),
  ).action(
    withFleet(
      runtime,
      async ({ ctx, terminal }, name: string, { capacity, tls, ca, cert, key }: Options) => {
        // never an argument: those can be read by every user of the machine
        const url = terminal.canAsk
          ? await terminal.askSecret("The provisioner's URL there")
          : await text(runtime.stdin)
        const server = await addServer(ctx, {
          name,
          url: url.trim(),
          capacity: Number(capacity),
          tls,
          ca,
          cert,
          key,
        })
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
