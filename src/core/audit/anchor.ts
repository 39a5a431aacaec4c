import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import type { Context } from '../context.js'
import { AppError } from '../errors.js'
import { countAudit, findHead } from './audit-record-store.js'

const Signed = z.strictObject({
  v: z.literal(1),
  platform: z.string(),
  sequence: z.number().int().min(0),
  count: z.number().int().min(0),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  at: z.string(),
  signature: z.string().regex(/^[0-9a-f]{64}$/),
})

/** A head of the chain, to keep where nobody who can write to the database can reach it. */
export type Anchor = z.output<typeof Signed>

type Unsigned = Omit<Anchor, 'signature'>

const sign = (key: Buffer, { v, platform, sequence, count, hash, at }: Unsigned): Buffer =>
  createHmac('sha256', key)
    .update(JSON.stringify(['anchor', v, platform, sequence, count, hash, at]))
    .digest()

/** The head as it is now, signed under the chain's key. */
export async function makeAnchor(ctx: Context, key: Buffer): Promise<Anchor> {
  const head = await findHead(ctx.platform)
  const { sealed } = await countAudit(ctx.platform)
  const unsigned: Unsigned = {
    v: 1,
    platform: await platformId(ctx),
    sequence: head?.sequence ?? 0,
    count: sealed,
    hash: (head?.hash ?? Buffer.alloc(32)).toString('hex'),
    at: ctx.now().toISOString(),
  }
  return { ...unsigned, signature: sign(key, unsigned).toString('hex') }
}

/** @throws AUDIT.ANCHOR_INVALID where it is none, was changed, or is another platform's */
export async function readAnchor(ctx: Context, key: Buffer, text: string): Promise<Anchor> {
  const anchor = Signed.safeParse(parseJson(text)).data
  if (!anchor) throw new AppError('AUDIT.ANCHOR_INVALID', 'it is not what "audit anchor" prints')
  if (anchor.platform !== (await platformId(ctx)))
    throw new AppError('AUDIT.ANCHOR_INVALID', 'it is of another platform')
  if (!timingSafeEqual(sign(key, anchor), Buffer.from(anchor.signature, 'hex')))
    throw new AppError('AUDIT.ANCHOR_INVALID', 'its signature does not agree')
  return anchor
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function platformId({ platform }: Context): Promise<string> {
  const row = await platform('platform_settings').first('value').where({ name: 'platform_id' })
  return row?.value ?? ''
}
