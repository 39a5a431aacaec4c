import { expect } from 'vitest'
import { runCli, test } from '../support/house.js'
import { issueFor } from '../support/license.js'

const STEERING = [0x9b, 0x200b, 0x2028, 0x202e, 0xe0041].map((code) => String.fromCodePoint(code))

test('what a tenant typed reaches no terminal raw, as text or as JSON', async ({
  environment,
  scope,
  tenant,
}) => {
  // C1 is refused at the door, and may be in a row that another application wrote
  const { license } = await issueFor(scope, { customer_name: 'Ada' })
  await scope
    .db('licenses')
    .where({ id: license.id })
    .update({ customer_name: `Ada${STEERING.join('')}` })
  const runs = []
  for (const seat of [{}, { columns: 120 }])
    for (const argv of [
      ['license', 'list', '--tenant', tenant.slug],
      ['license', 'show', license.id, '--tenant', tenant.slug],
      ['license', 'list', '--tenant', tenant.slug, '--json'],
      ['license', 'show', license.id, '--tenant', tenant.slug, '--json'],
    ])
      runs.push(await runCli(environment, argv, '', seat))
  const json = runs.filter(({ out }) => out.startsWith('{'))

  for (const { out, exit } of runs) {
    expect(exit).toBe(0)
    expect(out).toContain('Ada\\u009b')
    for (const character of STEERING) expect(out).not.toContain(character)
  }
  expect(json).toHaveLength(4)
  for (const { out } of json) expect(JSON.parse(out).customer_name).toBe(`Ada${STEERING.join('')}`)
})
