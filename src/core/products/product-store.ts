import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Bindable, type Executor, insertRow, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { fromJsonColumn } from '../parse.js'
import type { Product, ProductStatus } from './product.js'

type Row = {
  id: string
  code: string
  name: string
  description: string | null
  status: ProductStatus
  metadata: unknown
  revision: number
  created_at: Date
  updated_at: Date
}

const COLUMNS = 'id, code, name, description, status, metadata, revision, created_at, updated_at'

const toProduct = (row: Row): Product => ({
  id: row.id,
  code: row.code,
  name: row.name,
  description: row.description ?? undefined,
  status: row.status,
  metadata: fromJsonColumn<Record<string, unknown>>(row.metadata),
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

type Db = Executor<TenantDb>

export async function findProduct(db: Db, code: string): Promise<Product | undefined> {
  const [row] = await rowsOf<Row>(db, `select ${COLUMNS} from products where code = ?`, [code])
  return row && toProduct(row)
}

export async function findProductById(db: Db, id: string): Promise<Product | undefined> {
  const [row] = await rowsOf<Row>(db, `select ${COLUMNS} from products where id = ?`, [id])
  return row && toProduct(row)
}

/** A product, locked until the transaction ends. */
export async function lockProduct(transaction: Db, id: string): Promise<Product | undefined> {
  const [row] = await rowsOf<Row>(
    transaction,
    `select ${COLUMNS} from products where id = ? for update`,
    [id],
  )
  return row && toProduct(row)
}

/** Products by code; until the transaction ends nobody changes or deletes them. */
export async function holdProducts(
  transaction: Db,
  codes: readonly string[],
): Promise<Map<string, Product>> {
  const rows = await rowsOf<Row>(
    transaction,
    `select ${COLUMNS} from products where code in (${codes.map(() => '?').join(', ')}) lock in share mode`,
    codes,
  )
  return new Map(rows.map((row) => [row.code, toProduct(row)]))
}

export type ProductFilter = {
  readonly status?: ProductStatus | undefined
  readonly code?: string | undefined
  readonly beforeId?: string | undefined
  readonly limit: number
}

/** Newest first. */
export async function listProducts(
  db: Db,
  { status, code, beforeId, limit }: ProductFilter,
): Promise<Product[]> {
  const conditions: [string, Bindable][] = []
  if (status !== undefined) conditions.push(['status = ?', status])
  if (code !== undefined) conditions.push(['code = ?', code])
  if (beforeId !== undefined) conditions.push(['id < ?', beforeId])
  const where = conditions.map(([condition]) => condition).join(' and ') || 'true'
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from products where ${where} order by id desc limit ?`,
    [...conditions.map(([, value]) => value), limit],
  )
  return rows.map(toProduct)
}

/** Codes by id, for showing licenses with the product that they are for. */
export async function productCodes(db: Db, ids?: readonly string[]): Promise<Map<string, string>> {
  if (ids?.length === 0) return new Map()
  const where = ids ? ` where id in (${ids.map(() => '?').join(', ')})` : ''
  const rows = await rowsOf<Row>(db, `select id, code from products${where}`, ids)
  return new Map(rows.map(({ id, code }) => [id, code]))
}

/** @throws PRODUCT.EXISTS: the unique index decides */
export async function insertProduct(db: Db, product: Product): Promise<void> {
  try {
    await insertRow(db, 'products', {
      id: product.id,
      code: product.code,
      name: product.name,
      description: product.description ?? null,
      status: product.status,
      metadata: JSON.stringify(product.metadata),
      revision: product.revision,
      created_at: product.createdAt,
      updated_at: product.updatedAt,
    })
  } catch (error) {
    if (isFailure(error, 'duplicate')) throw new AppError('PRODUCT.EXISTS', product.code)
    throw error
  }
}

export const setProduct = (db: Db, product: Product) =>
  affectedBy(
    db,
    'update products set name = ?, description = ?, status = ?, metadata = ?, revision = ?, updated_at = ? where id = ?',
    [
      product.name,
      product.description ?? null,
      product.status,
      JSON.stringify(product.metadata),
      product.revision,
      product.updatedAt,
      product.id,
    ],
  )

/** @throws PRODUCT.IN_USE where licenses are for it: the foreign key decides */
export async function deleteProductRow(db: Db, id: string): Promise<void> {
  try {
    await affectedBy(db, 'delete from products where id = ?', [id])
  } catch (error) {
    if (isFailure(error, 'referenced')) throw new AppError('PRODUCT.IN_USE')
    throw error
  }
}
