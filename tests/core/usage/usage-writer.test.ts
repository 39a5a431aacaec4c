import { expect } from 'vitest'
import { quoteName, quoteText } from '../../../src/core/db/sql.js'
import { UsageWriter } from '../../../src/core/usage/usage-writer.js'
import { test as house } from '../../support/house.js'
import { openShop } from '../../support/shop.js'

const test = house.extend('shop', async ({ ctx }) => openShop(ctx))

test('a report that the server refuses fails alone, and those that were written with it are kept', async ({
  ctx,
  provisioner,
  shop,
}) => {
  const entitlements = { exports: true, poison: true }
  const { key, id } = await shop.issue({ entitlements })
  const database = quoteName(shop.scope.tenant.database)
  await provisioner.run(
    `create trigger ${database}.refuse_poison before insert on ${database}.usage_events for each row begin if new.code = ${quoteText('poison')} then signal sqlstate '45000' set message_text = 'no'; end if; end`,
  )
  const writer = new UsageWriter(ctx.tenantDatabases)
  const report = (metric: string) =>
    writer.record(shop.scope, { license_key: key, metric, quantity: 1 })

  // the first goes alone, the others wait for it and go together
  const metrics = ['exports', 'exports', 'poison', 'exports', 'exports', 'poison', 'exports']
  const settled = await Promise.allSettled(metrics.map(report))

  expect(settled.map(({ status }) => status)).toEqual(
    metrics.map((metric) => (metric === 'poison' ? 'rejected' : 'fulfilled')),
  )
  const [row] = await shop.scope.read<{ value: number }>(
    'select value from usage_counters where code = ? and subject = ?',
    ['exports', id],
  )
  expect(Number(row?.value)).toBe(5)
})
