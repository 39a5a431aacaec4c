import { z } from 'zod'
import { exportTenant } from '../../core/export/export-tenant.js'
import type { TenantOperation } from './tenant-operation.js'

const TAR = 'application/x-tar'

export const exportOperations: readonly TenantOperation[] = [
  {
    id: 'exportTenant',
    method: 'get',
    writes: true,
    path: '/export',
    tag: 'tenant: export',
    permission: 'tenant.export',
    summary: 'Export everything',
    description:
      'A tar archive of NDJSON files: all that the tenant owns, as it is at one instant, without hashes and secrets. `manifest.json` and `SHA256SUMS` come last: an archive that has them is whole.',
    file: TAR,
    answers: { 200: { description: 'The archive', schema: z.string() } },
    errors: ['TENANT.EXPORT_BUSY'],
    async handle({ c }) {
      const scope = c.get('scope')
      const day = scope.now().toISOString().slice(0, 10)
      return c.body(await exportTenant(c.get('acting'), scope), 200, {
        'Content-Type': TAR,
        'Content-Disposition': `attachment; filename="${scope.tenant.slug}-${day}.tar"`,
        'Cache-Control': 'no-store',
      })
    },
  },
]
