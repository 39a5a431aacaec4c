import { createHash } from 'node:crypto'
import { createTarPacker } from 'modern-tar'
import type { Context } from '../context.js'
import { type Executor, rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import { recordEvent } from '../events/outbox-store.js'
import { fromJsonColumn } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import { type ExportedTable, PLATFORM_TABLES, TENANT_TABLES } from './exported-tables.js'

/** How many rows one file of the archive holds: what is in memory at a time. */
const ROWS_A_FILE = 1_000
/** How long the snapshots are kept open for a reader who is slow, and for one who takes nothing. */
const LONGEST_MS = 600_000
const LONGEST_PAUSE_MS = 30_000

/** Each holds a connection of the platform and of the tenant until its reader is done. */
const AT_ONCE = 2

const running = new Set<string>()

type File = {
  readonly name: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
}

type Archive = {
  add(name: string, text: string, rows: number): Promise<void>
  readonly files: readonly File[]
}

/**
 * All that a tenant owns, as a tar archive of NDJSON files that is made while it is read: its database and its
 * rows of the platform's, each as one snapshot at one instant. `manifest.json` and `SHA256SUMS` come last, so
 * an archive that has them is whole. Hashes and secrets are not in it.
 *
 * Where it cannot go on, the stream fails: no half archive looks like a whole one.
 *
 * @throws TENANT.EXPORT_BUSY while this process makes two already, or one of this tenant
 */
export async function exportTenant(
  ctx: Context,
  scope: TenantScope,
): Promise<ReadableStream<Uint8Array>> {
  const { id: tenantId } = scope.tenant
  if (running.size >= AT_ONCE || running.has(tenantId)) throw new AppError('TENANT.EXPORT_BUSY')
  running.add(tenantId)
  const at = ctx.now()
  const told = scope.transaction((transaction) =>
    recordEvent(transaction, scope, {
      at,
      action: 'tenant.exported',
      objectType: 'tenant',
      objectId: tenantId,
    }),
  )
  await told.catch((error) => {
    running.delete(tenantId)
    throw error
  })
  const { readable, controller } = createTarPacker()
  const files: File[] = []
  const archive: Archive = {
    files,
    async add(name, text, rows) {
      const bytes = Buffer.from(text)
      const writer = controller
        .add({ name, size: bytes.length, type: 'file', mtime: at, mode: 0o644 })
        .getWriter()
      const pause = setTimeout(
        () => controller.error(new Error('nobody reads the export')),
        LONGEST_PAUSE_MS,
      )
      try {
        // resolves when the reader has taken what was written before
        await writer.write(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
        await writer.close()
      } finally {
        clearTimeout(pause)
      }
      files.push({
        name,
        rows,
        bytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      })
    },
  }
  const deadline = setTimeout(
    () => controller.error(new Error('the export took too long')),
    LONGEST_MS,
  )
  void write(ctx, scope, archive, at)
    .then(() => controller.finalize())
    .catch((error: unknown) => {
      ctx.log.warn('an export was cut off', { tenant: scope.tenant.slug, error })
      controller.error(error)
    })
    .finally(() => {
      running.delete(tenantId)
      clearTimeout(deadline)
    })
  return readable
}

async function write(ctx: Context, scope: TenantScope, archive: Archive, at: Date): Promise<void> {
  await ctx.platform.transaction(
    async (transaction) => {
      // the first look makes the snapshot: both are of one moment, before anything is written
      await rowsOf(transaction, 'select id from tenants where id = ?', [scope.tenant.id])
      await scope.snapshot(LONGEST_MS, async (connection) => {
        for (const table of TENANT_TABLES) await writeTable(archive, connection, table, [])
        for (const table of PLATFORM_TABLES)
          await writeTable(archive, transaction, table, [scope.tenant.id])
      })
    },
    { isolationLevel: 'repeatable read' },
  )
  const { id, slug } = scope.tenant
  const manifest = { format: 1, tenant: { id, slug }, exported_at: at, files: [...archive.files] }
  await archive.add('manifest.json', `${JSON.stringify(manifest, undefined, 2)}\n`, 1)
  await archive.add(
    'SHA256SUMS',
    archive.files.map(({ sha256, name }) => `${sha256}  ${name}\n`).join(''),
    archive.files.length,
  )
}

/** A table without rows has one empty file, so that its absence is no question. */
async function writeTable(
  archive: Archive,
  db: Executor,
  { name, from, columns, key, json = [] }: ExportedTable,
  values: readonly string[],
): Promise<void> {
  let after: string | number | undefined
  for (let part = 1; ; part += 1) {
    const rows = await rowsOf<Record<string, unknown>>(
      db,
      `select ${columns.map((column) => `\`${column}\``).join(', ')} from ${from}
        ${after === undefined ? '' : `where \`${key}\` > ?`} order by \`${key}\` limit ${ROWS_A_FILE}`,
      after === undefined ? values : [...values, after],
    )
    if (rows.length > 0 || part === 1) {
      const lines = rows.map((row) => {
        for (const column of json)
          if (row[column] !== null) row[column] = fromJsonColumn(row[column])
        return `${JSON.stringify(row)}\n`
      })
      await archive.add(
        `${name}/${String(part).padStart(6, '0')}.ndjson`,
        lines.join(''),
        rows.length,
      )
    }
    const last = rows.at(-1)
    if (rows.length < ROWS_A_FILE || !last) return
    after = last[key] as string | number
  }
}
