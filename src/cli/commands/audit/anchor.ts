import { makeAnchor } from '../../../core/audit/anchor.js'
import { readAuditKey } from '../../../core/audit/audit-key.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const auditAnchor = (runtime: Runtime) =>
  createCommand({
    name: 'anchor',
    about: 'print the signed head of the audit trail, to keep where the database is not',
    examples: [
      [
        'audit anchor > head.json',
        '"audit verify --anchor head.json" finds what was cut off since',
      ],
    ],
  }).action(
    withContext(runtime, async ({ ctx, terminal }) => {
      const anchor = await makeAnchor(ctx, await readAuditKey(ctx))
      await terminal.result(JSON.stringify(anchor))
    }),
  )
