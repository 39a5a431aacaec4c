import { expect, test } from 'vitest'
import { actions } from '../../../src/core/events/actions.js'
import {
  RESERVED_WEBHOOK_EVENTS,
  WEBHOOK_EVENTS,
} from '../../../src/core/webhooks/webhook-endpoint.js'

test('every event that an endpoint may name is sent by some change, or said to be reserved', () => {
  const sent = new Set(Object.keys(actions))

  expect(WEBHOOK_EVENTS.filter((event) => !sent.has(event))).toEqual(RESERVED_WEBHOOK_EVENTS)
})
