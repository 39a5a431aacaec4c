import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { createPool, type RowDataPacket } from 'mysql2/promise'

/**
 * The least that can answer the question: one route and one pooled query on one database. It checks no
 * key, knows no tenant and asks no clock, and answers as many bytes as the real server does.
 */
const COLUMNS =
  'id, product_id, license_key, type, status, starts_at, expires_at, grace_days, entitlements, customer_name, customer_email, created_at'
const REQUEST_ID = '01900000-0000-7000-8000-000000000000'

const { FLOOR_SOCKET = '', FLOOR_DATABASE = '', FLOOR_CONNECTIONS = '10' } = process.env

const pool = createPool({
  socketPath: FLOOR_SOCKET,
  user: 'root',
  database: FLOOR_DATABASE,
  connectionLimit: Number(FLOOR_CONNECTIONS),
})

const app = new Hono().post('/v1/integration/licenses/:key/validate', async (c) => {
  const [[row]] = await pool.query<RowDataPacket[]>(
    `select ${COLUMNS} from licenses where license_key = ?`,
    [c.req.param('key')],
  )
  if (!row) return c.json({ error: { code: 'LICENSE.NOT_FOUND' } }, 404)
  return c.json({
    data: {
      valid: true,
      code: 'VALID',
      license: {
        id: row.id,
        key: row.license_key,
        type: row.type,
        status: row.status,
        expires_at: row.expires_at,
        // the driver has parsed it
        entitlements: row.entitlements,
      },
    },
    meta: { request_id: REQUEST_ID, api_version: '1' },
  })
})

const server = createServer(getRequestListener(app.fetch))
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  console.error(JSON.stringify({ message: 'listening', url: `http://127.0.0.1:${port}` }))
})
process.once('SIGTERM', () => {
  server.close(() => void pool.end())
  server.closeAllConnections()
})
