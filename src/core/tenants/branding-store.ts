import type { TenantDb } from '../db/connect.js'

export type Branding = {
  readonly displayName: string
  readonly primaryColor: string
  readonly accentColor: string
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
