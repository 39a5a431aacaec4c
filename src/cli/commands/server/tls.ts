import { setServerTls } from '../../../core/fleet/set-server-tls.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'

type Options = {
  readonly tls?: string
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export const serverTls = (runtime: Runtime) =>
  createCommand({
    name: 'tls',
    about: 'replace the TLS settings of a registered database server, after trying them',
    examples: [
      ['server tls eu-2 --tls verify --ca /etc/validonx/eu-2027.pem', 'another CA'],
      ['server tls eu-2', 'as VALIDONX_DATABASE_TLS, _CA, _CERT and _KEY say'],
    ],
  })
    .argument('<name>', 'name of the server')
    .option('--tls <level>', 'verify, verify-ca or off (default: VALIDONX_DATABASE_TLS)')
    .option('--ca <file>', 'file with its CA certificates (default: VALIDONX_DATABASE_CA)')
    .option('--cert <file>', 'file with our certificate (default: VALIDONX_DATABASE_CERT)')
    .option(
      '--key <file>',
      'file with the key of that certificate (default: VALIDONX_DATABASE_KEY)',
    )
    .action(
      withFleet(
        runtime,
        async ({ ctx, terminal }, name: string, { tls, ca, cert, key }: Options) => {
          const server = await setServerTls(ctx, { name, tls, ca, cert, key })
          await terminal.record(
            { id: server.id, name: server.name, tls: server.tls.databaseTls ?? null },
            () => `The TLS settings of "${server.name}" are changed. Restart "validonx serve".`,
          )
        },
      ),
    )
