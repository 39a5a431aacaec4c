import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Executor, rowsOf } from '../db/statements.js'

/** How a tenant presents itself. */
export type Branding = {
  readonly displayName: string
  readonly logoUrl?: string | undefined
  readonly primaryColor: string
  readonly accentColor: string
  readonly supportEmail?: string | undefined
  readonly supportUrl?: string | undefined
}

/** Branding is one row. */
const THE_ROW = 1

export const hasBranding = async (db: TenantDb): Promise<boolean> =>
  (await db('branding').first('id').where({ id: THE_ROW })) !== undefined

/** Answers false where branding stands already: it is left as it is. */
export async function insertMissingBranding(
  db: TenantDb,
  branding: Branding,
  at: Date,
): Promise<boolean> {
  if (await hasBranding(db)) return false
  await db('branding').insert({
    id: THE_ROW,
    display_name: branding.displayName,
    primary_color: branding.primaryColor,
    accent_color: branding.accentColor,
    created_at: at,
    updated_at: at,
  })
  return true
}

type Row = {
  display_name: string
  logo_url: string | null
  primary_color: string
  accent_color: string
  support_email: string | null
  support_url: string | null
}

/** @param lock holds it until the transaction ends */
export async function findBranding(
  db: Executor<TenantDb>,
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<Branding | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `select display_name, logo_url, primary_color, accent_color, support_email, support_url from branding where id = ?${lock ? ' for update' : ''}`,
    [THE_ROW],
  )
  return (
    row && {
      displayName: row.display_name,
      logoUrl: row.logo_url ?? undefined,
      primaryColor: row.primary_color,
      accentColor: row.accent_color,
      supportEmail: row.support_email ?? undefined,
      supportUrl: row.support_url ?? undefined,
    }
  )
}

export const setBranding = (db: Executor<TenantDb>, branding: Branding, at: Date) =>
  affectedBy(
    db,
    'update branding set display_name = ?, logo_url = ?, primary_color = ?, accent_color = ?, support_email = ?, support_url = ?, updated_at = ? where id = ?',
    [
      branding.displayName,
      branding.logoUrl ?? null,
      branding.primaryColor,
      branding.accentColor,
      branding.supportEmail ?? null,
      branding.supportUrl ?? null,
      at,
      THE_ROW,
    ],
  )
