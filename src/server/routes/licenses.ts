import { Hono } from 'hono'
import { type Validation, validateLicense } from '../../core/licensing/validate-license.js'
import type { ServerEnv } from '../env.js'
import { success } from '../envelope.js'

export const licenses = () =>
  new Hono<ServerEnv>().post('/:licenseKey/validate', async (c) =>
    c.json(
      success(
        toBody(await validateLicense(c.var.scope, c.req.param('licenseKey'))),
        c.var.requestId,
      ),
    ),
  )

const toBody = ({ valid, code, status, license }: Validation) => ({
  valid,
  code,
  license: {
    id: license.id,
    key: license.key,
    type: license.type,
    status,
    expires_at: license.expiresAt ?? null,
    entitlements: license.entitlements,
  },
})
