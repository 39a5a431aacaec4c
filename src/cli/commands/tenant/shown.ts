import type { Report } from '../../../core/provisioning/pipeline.js'
import type { Provisioned } from '../../../core/provisioning/provision-tenant.js'
import { formatFields, type Terminal } from '../../terminal.js'

/** A line for each stage as it ends; the running one is shown where the line can be overwritten. */
export const reportStages =
  (terminal: Terminal): Report =>
  ({ stage, position, of, state, durationMs }) => {
    const line = `${String(position).padStart(2)}/${of}  ${stage}`
    if (state === 'running') terminal.live(`${terminal.style('dim', '…')} ${line}`)
    if (state === 'kept')
      terminal.remark(
        `${terminal.style('dim', '·')} ${line.padEnd(36)} ${terminal.style('dim', 'done before')}`,
      )
    if (state === 'done')
      terminal.remark(`${terminal.style('green', '✓')} ${line.padEnd(36)} ${durationMs} ms`)
    if (state === 'failed')
      terminal.remark(
        `${terminal.style('red', '✗')} ${line.padEnd(36)} failed after ${durationMs} ms`,
      )
  }

/** The result of a provisioning, with the API key this one time. */
export async function showProvisioned(
  terminal: Terminal,
  { outcome, tenant, plan, server, apiKey, durationMs }: Provisioned,
): Promise<void> {
  const object = {
    outcome,
    tenant: {
      id: tenant.id,
      slug: tenant.slug,
      name: tenant.name,
      status: tenant.status,
      plan: plan.code,
      server,
      database: tenant.database,
      created_at: tenant.createdAt,
    },
    api_key: apiKey && {
      id: apiKey.key.id,
      secret: apiKey.secret,
      prefix: apiKey.key.prefix,
      last_four: apiKey.key.lastFour,
    },
    duration_ms: durationMs,
  }
  const text = () =>
    formatFields([
      ['tenant', `${tenant.slug} (${tenant.name})`],
      ['status', outcome === 'unchanged' ? `${tenant.status}, nothing to do` : tenant.status],
      ['plan', plan.code],
      ['server', server],
      ['database', tenant.database],
      ['api key', apiKey?.secret],
    ])
  if (apiKey) await terminal.secret('API key', object, text)
  else await terminal.record(object, text)
}
