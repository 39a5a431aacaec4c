import { listServers } from '../../../core/servers/database-server-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'

export const serverList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: 'list the database servers that hold tenants',
    examples: [['server list', 'with how full each is']],
  }).action(
    withFleet(runtime, async ({ ctx, terminal }) => {
      await terminal.rows(
        await listServers(ctx.platform),
        [
          { title: 'name', value: ({ server }) => server.name },
          {
            title: 'address',
            value: ({ server }) =>
              server.address ? `${server.address.host}:${server.address.port}` : "the platform's",
          },
          { title: 'tls', value: ({ server }) => server.tls.databaseTls ?? 'as configured' },
          { title: 'version', value: ({ server }) => server.version },
          { title: 'tenants', value: ({ server, tenants }) => `${tenants} of ${server.capacity}` },
          { title: 'takes more', value: ({ server }) => (server.acceptsTenants ? 'yes' : 'no') },
        ],
        ({ server, tenants }) => ({
          id: server.id,
          name: server.name,
          host: server.address?.host ?? null,
          port: server.address?.port ?? null,
          tls: server.tls.databaseTls ?? null,
          version: server.version,
          tenants,
          capacity: server.capacity,
          accepts_tenants: server.acceptsTenants,
        }),
      )
    }),
  )
