import { expect } from 'vitest'
import { provisionTenant } from '../../../src/core/provisioning/provision-tenant.js'
import { freshSlug, test } from '../../support/house.js'
import { freshWord } from '../../support/platform.js'

test('tenants made at once for one new owner share the user, and each change is recorded', async ({
  ctx,
}) => {
  const ownerEmail = `${freshWord()}@example.com`
  const made = await Promise.all(
    [1, 2].map(() =>
      provisionTenant(ctx, { slug: freshSlug(), ownerEmail }, { deliver: async () => {} }),
    ),
  )
  const users = await ctx.platform('users').where({ email: ownerEmail })
  const events = await ctx
    .platform('audit_logs')
    .where({ object_type: 'user', object_id: String(users[0]?.id) })
    .select('action', 'tenant_id', 'actor_type')

  expect(users).toHaveLength(1)
  expect(events.map(({ action }) => action).sort()).toEqual([
    'member.added',
    'member.added',
    'user.created',
  ])
  expect(
    events
      .filter(({ action }) => action === 'member.added')
      .map(({ tenant_id }) => tenant_id)
      .sort(),
  ).toEqual(made.map(({ tenant }) => tenant.id).sort())
})
