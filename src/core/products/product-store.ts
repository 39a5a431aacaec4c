import type { TenantDb } from '../db/connect.js'

export type Product = {
  readonly id: string
  readonly code: string
  readonly name: string
  readonly status: 'active' | 'archived'
  readonly createdAt: Date
}

type Row = { id: string; code: string; name: string; status: Product['status']; created_at: Date }

const COLUMNS = ['id', 'code', 'name', 'status', 'created_at'] as const

const toProduct = (row: Row): Product => ({
  id: row.id,
  code: row.code,
  name: row.name,
  status: row.status,
  createdAt: row.created_at,
})

export async function findProduct(db: TenantDb, code: string): Promise<Product | undefined> {
  const row = await db<Row>('products')
    .first(...COLUMNS)
    .where({ code })
  return row && toProduct(row)
}

/** Codes by id, for showing licenses with the product that they are for. */
export async function productCodes(db: TenantDb): Promise<Map<string, string>> {
  const rows = (await db<Row>('products').select('id', 'code')) as Row[]
  return new Map(rows.map(({ id, code }) => [id, code]))
}

export async function insertProduct(db: TenantDb, product: Product): Promise<void> {
  await db('products').insert({
    id: product.id,
    code: product.code,
    name: product.name,
    status: product.status,
    metadata: '{}',
    revision: 1,
    created_at: product.createdAt,
    updated_at: product.createdAt,
  })
}
