// The real program with parts of it taken out, by BENCH_WITHOUT: `relay` leaves events where they were written,
// `events` writes none. What remains is what the parts cost.

import { register } from 'node:module'

const NO_KEEPER =
  'export class TrailKeeper { touch() {} async [Symbol.asyncDispose]() {} } export const settleTrail = async () => {}'
const NO_EVENTS =
  'export const insertOutbox = async () => {}, recordEvents = async () => {}, recordEvent = async () => {}'

const without = {
  '/core/audit/trail-keeper.js': NO_KEEPER,
  ...(process.env.BENCH_WITHOUT === 'events' ? { '/core/events/outbox-store.js': NO_EVENTS } : {}),
}
const hooks = `
const without = ${JSON.stringify(without)}
export async function load(url, context, next) {
  const found = Object.keys(without).find((file) => url.endsWith(file))
  return found ? { format: 'module', source: without[found], shortCircuit: true } : next(url, context)
}`
register(`data:text/javascript,${encodeURIComponent(hooks)}`)

const { main, processRuntime } = await import('../../dist/src/cli/main.js')
await main(process.argv.slice(2), processRuntime())
