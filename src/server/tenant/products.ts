import { z } from 'zod'
import { etagOf } from '../../core/preconditions.js'
import {
  deleteProduct,
  getProductById,
  pageProducts,
  updateProduct,
} from '../../core/products/change-product.js'
import { createProduct } from '../../core/products/create-product.js'
import {
  CreateProductInput,
  ListProductsQuery,
  PRODUCT_STATUSES,
  type Product,
  UpdateProductInput,
} from '../../core/products/product.js'
import { id, idParameter, json, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const productObject = z.strictObject({
  id,
  code: z.string(),
  name: z.string(),
  description: z.string().nullable(),
  status: z.enum(PRODUCT_STATUSES),
  metadata: json,
  created_at: time,
  updated_at: time,
})

const productAnswer = z.strictObject({ product: productObject })

const toObject = (product: Product) => ({
  id: product.id,
  code: product.code,
  name: product.name,
  description: product.description ?? null,
  status: product.status,
  metadata: product.metadata,
  created_at: product.createdAt,
  updated_at: product.updatedAt,
})

const shown = (product: Product, status: 200 | 201 = 200) => ({
  status,
  data: { product: toObject(product) },
  etag: etagOf(product.revision),
})

const tag = 'tenant: products'
const parameter = idParameter('productId', 'product')

export const productOperations: readonly TenantOperation[] = [
  {
    id: 'listProducts',
    method: 'get',
    path: '/products',
    tag,
    permission: 'products.read',
    summary: 'List products',
    description: 'Newest first.',
    query: ListProductsQuery,
    answers: { 200: { description: 'A page of products', schema: pageOf(productObject) } },
    errors: [],
    handle: async ({ c, query }) => ({
      status: 200,
      data: pageData(await pageProducts(c.get('scope'), query), toObject),
    }),
  },
  {
    id: 'createProduct',
    method: 'post',
    path: '/products',
    tag,
    permission: 'products.write',
    summary: 'Create a product',
    description: 'Within the limit of the plan.',
    isTagged: true,
    body: { schema: CreateProductInput, example: { code: 'editor', name: 'Acme Editor' } },
    isIdempotent: true,
    answers: { 201: { description: 'Created', schema: productAnswer } },
    errors: ['PRODUCT.EXISTS', 'ENTITLEMENTS.LIMIT_EXCEEDED'],
    async handle(call) {
      const { c, body } = call
      const made = await createProduct(c.get('scope'), body, preconditionsOf(call))
      return { ...shown(made.result, 201), replayed: made.replayed }
    },
  },
  {
    id: 'showProduct',
    method: 'get',
    path: '/products/{productId}',
    tag,
    permission: 'products.read',
    summary: 'Show a product',
    description: 'With an ETag for If-Match.',
    parameter,
    isConditional: true,
    answers: { 200: { description: 'The product', schema: productAnswer } },
    errors: ['PRODUCT.NOT_FOUND'],
    handle: async ({ c, id }) => shown(await getProductById(c.get('scope'), id)),
  },
  {
    id: 'updateProduct',
    method: 'patch',
    path: '/products/{productId}',
    tag,
    permission: 'products.write',
    summary: 'Change a product',
    description:
      'A merge patch. An archived product takes no new licenses; those it has stay valid.',
    parameter,
    body: { schema: UpdateProductInput, example: { name: 'Acme Editor 2' } },
    isConditional: true,
    answers: { 200: { description: 'The product', schema: productAnswer } },
    errors: ['PRODUCT.NOT_FOUND'],
    handle: async (call) =>
      shown(await updateProduct(call.c.get('scope'), call.id, call.body, preconditionsOf(call))),
  },
  {
    id: 'deleteProduct',
    method: 'delete',
    path: '/products/{productId}',
    tag,
    permission: 'products.write',
    summary: 'Delete a product',
    description: 'Only one that no license is, or was, for. Archive it otherwise.',
    parameter,
    isConditional: true,
    answers: {
      200: { description: 'Deleted', schema: z.strictObject({ deleted: z.literal(true) }) },
    },
    errors: ['PRODUCT.NOT_FOUND', 'PRODUCT.IN_USE'],
    async handle(call) {
      await deleteProduct(call.c.get('scope'), call.id, preconditionsOf(call))
      return { status: 200, data: { deleted: true } }
    },
  },
]
