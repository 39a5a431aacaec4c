import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import {
  type IdempotentRequest,
  type IdempotentResult,
  inIdempotentTransaction,
} from '../db/idempotency.js'
import { inTransaction } from '../db/transaction.js'

/**
 * A change of the platform's rows of one tenant: one transaction, and, where a key is given, one that is
 * done once for one actor. Answers are kept sealed, as they may hold a secret that is shown this once, to whoever
 * asked.
 */
export const inPlatformChange = <T>(
  ctx: Context,
  tenantId: string,
  request: IdempotentRequest,
  work: (transaction: PlatformDb) => Promise<T>,
): Promise<IdempotentResult<T>> =>
  inIdempotentTransaction(
    {
      now: ctx.now,
      seal: {
        close: (text, scopeKey) => ctx.keyring.encrypt(text, scopeKey),
        open: (text, scopeKey) => ctx.keyring.decrypt(text, scopeKey),
      },
      transaction: (inner) => inTransaction(ctx.platform, inner),
      lend: (inner) => inner(ctx.platform),
    },
    { ...request, operation: `${tenantId}/${ctx.actor.type}:${ctx.actor.id}/${request.operation}` },
    work,
  )
