import { z } from 'zod'
import { settings } from '../config.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { Provisioner } from '../db/provisioner.js'
import { assertProvisionerPrivileges } from '../db/provisioner-privileges.js'
import { parseDatabaseUrl } from '../db/server-address.js'
import { assertSupported } from '../db/server-version.js'
import { withDefaults } from '../db/tls.js'
import { inTransaction } from '../db/transaction.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { parse } from '../parse.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { getServerByName } from '../servers/database-server-store.js'
import { checkTlsFields, tlsFields, toTlsColumns, toTlsSettings } from '../servers/tls-input.js'
import { assertSuitable } from './examine-server.js'
import { ensureTemplate } from './template.js'

export const AddServerInput = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/,
        'must be lower-case letters and digits in words joined by "-"',
      )
      .max(60, 'must be at most 60 characters'),
    /** `mysql://user:password@host:port`: the provisioner's login there. It is stored sealed. */
    url: settings.databaseUrl.schema.unwrap(),
    capacity: z
      .number()
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(1_000_000)
      .default(10_000),
    ...tlsFields,
  })
  .superRefine(checkTlsFields)

/**
 * Registers a further database server for tenants and builds its template, after it has tried its login,
 * its version, its privileges and its settings, and rehearsed what provisioning does.
 *
 * @throws SERVER.EXISTS, DATABASE.…
 */
export async function addServer(ctx: Context, input: unknown): Promise<DatabaseServer> {
  const { name, url, capacity, ...tls } = parse(AddServerInput, input)
  const { address, login } = parseDatabaseUrl(url, withDefaults(toTlsSettings(tls), ctx.config))
  const at = ctx.now()
  const id = newId()
  const home = await ctx.provisioner()
  await using visitor = new Provisioner(
    { address, login, connectTimeoutMs: ctx.config.connectTimeout * 1000 },
    1,
    ctx.log,
  )
  const [row] = await visitor.rows<{ version: string }>('select version() as version')
  const version = row?.version ?? ''
  assertSupported(version)
  await assertProvisionerPrivileges(visitor, { tenantPrefix: ctx.config.tenantPrefix })
  await assertSuitable(ctx, visitor)
  await home.withDatabase(ctx.config.platformDatabase, (db: PlatformDb) =>
    inTransaction(db, async (transaction) => {
      await insertServer(transaction, name, {
        id,
        name,
        host: address.host,
        port: address.port,
        socket_path: address.socketPath ?? null,
        ...toTlsColumns(tls),
        provisioner_login_encrypted: ctx.keyring.encrypt(JSON.stringify(login), id),
        capacity,
        accepts_tenants: true,
        version,
        created_at: at,
        updated_at: at,
      })
      await insertAudit(transaction, {
        occurredAt: at,
        actor: ctx.actor,
        action: 'database_server.added',
        objectType: 'database_server',
        objectId: id,
        tenantId: null,
        changes: {
          after: { name, host: address.host, port: address.port, capacity, ...tls },
        },
      })
    }),
  )
  const server = await getServerByName(ctx.platform, name)
  await ensureTemplate(ctx, ctx.platform, server)
  return server
}

async function insertServer(db: PlatformDb, name: string, row: object): Promise<void> {
  try {
    await db('database_servers').insert(row)
  } catch (error) {
    if (isFailure(error, 'duplicate')) throw new AppError('SERVER.EXISTS', name)
    throw error
  }
}
