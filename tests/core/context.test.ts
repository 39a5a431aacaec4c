import { expect } from 'vitest'
import { PLATFORM_CONNECTIONS } from '../../src/core/context.js'
import { inTransaction } from '../../src/core/db/transaction.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { test } from '../support/house.js'
import { open } from '../support/platform.js'

test('as many transactions as the platform pool has connections can open a tenant', async ({
  environment,
  tenant,
}) => {
  await using ctx = await open({ ...environment, VALIDONX_ACQUIRE_TIMEOUT: '2' })
  const { db } = await enterTenant(ctx, tenant.slug)
  let started = 0
  let start = () => {}
  const allStarted = new Promise<void>((done) => {
    start = done
  })

  const counts = await Promise.all(
    Array.from({ length: PLATFORM_CONNECTIONS }, () =>
      inTransaction(ctx.platform, async () => {
        started += 1
        if (started === PLATFORM_CONNECTIONS) start()
        await allStarted
        return (await db('branding').pluck('id')).length
      }),
    ),
  )

  expect(counts).toEqual(Array.from({ length: PLATFORM_CONNECTIONS }, () => 1))
})

test('errors of the database carry no bound value, on both planes', async ({ ctx, tenant }) => {
  const { db } = await enterTenant(ctx, tenant.slug)
  for (const handle of [ctx.platform, db]) {
    const error = await handle
      .raw('select ? from missing', ['topsecretvalue'])
      .then(() => undefined)
      .catch((thrown: Error) => thrown)

    expect(error?.message).toContain('select ? from missing')
    expect(`${error?.message} ${error?.stack}`).not.toContain('topsecretvalue')
  }
})
