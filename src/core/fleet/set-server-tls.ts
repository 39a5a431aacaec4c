import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { getServerByName } from '../servers/database-server-store.js'
import { checkTlsFields, tlsFields, toTlsColumns, toTlsSettings } from '../servers/tls-input.js'

export const SetServerTlsInput = z
  .strictObject({ name: z.string(), ...tlsFields })
  .superRefine(checkTlsFields)

/**
 * Replaces the TLS settings of a registered server, after it has been reached with the new ones. What is not
 * given follows the configuration. Processes that serve go on with the old ones until they are restarted.
 *
 * @throws SERVER.NOT_FOUND, SERVER.FOLLOWS_CONFIGURATION, CONFIG.TLS_FILE, DATABASE.…
 */
export async function setServerTls(ctx: Context, input: unknown): Promise<DatabaseServer> {
  const { name, ...given } = parse(SetServerTlsInput, input)
  const server = await getServerByName(ctx.platform, name)
  if (!server.address) throw new AppError('SERVER.FOLLOWS_CONFIGURATION', name)
  const changed = { ...server, tls: toTlsSettings(given) }
  const visitor = await ctx.provisioner(changed)
  await visitor.rows('select 1')
  const at = ctx.now()
  const home = await ctx.provisioner()
  await home.withDatabase(ctx.config.platformDatabase, (db: PlatformDb) =>
    inTransaction(db, async (transaction) => {
      await transaction('database_servers')
        .where({ id: server.id })
        .update({ ...toTlsColumns(given), updated_at: at })
      await insertAudit(transaction, {
        occurredAt: at,
        actor: ctx.actor,
        action: 'database_server.tls_changed',
        objectType: 'database_server',
        objectId: server.id,
        tenantId: null,
        changes: { before: shown(server), after: shown(changed) },
      })
    }),
  )
  return changed
}

const shown = ({ tls }: DatabaseServer) => ({
  tls: tls.databaseTls ?? null,
  ca: tls.databaseCa ?? null,
  cert: tls.databaseCert ?? null,
  key: tls.databaseKey ?? null,
})
