import { setServerTls } from '../../../core/fleet/set-server-tls.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'
import { type TlsOptions, withTlsOptions } from './tls-options.js'

export const serverTls = (runtime: Runtime) =>
  withTlsOptions(
    createCommand({
      name: 'tls',
      about: 'replace the TLS settings of a registered database server, after trying them',
      examples: [
        ['server tls eu-2 --tls verify --ca /etc/validonx/eu-2027.pem', 'another CA'],
        ['server tls eu-2', 'as VALIDONX_DATABASE_TLS, _CA, _CERT and _KEY say'],
      ],
    }).argument('<name>', 'name of the server'),
  ).action(
    withFleet(
      runtime,
      async ({ ctx, terminal }, name: string, { tls, ca, cert, key }: TlsOptions) => {
        const server = await setServerTls(ctx, { name, tls, ca, cert, key })
        await terminal.record(
          { id: server.id, name: server.name, tls: server.tls.databaseTls ?? null },
          () => `The TLS settings of "${server.name}" are changed. Restart "validonx serve".`,
        )
      },
    ),
  )
