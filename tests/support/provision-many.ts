import { createInterface } from 'node:readline'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { codeOf } from './code-of.js'
import { type Environment, open } from './platform.js'

/** What became of one call: its outcome or the code of its refusal, and the API key where it showed one. */
export type Call = { readonly answer: string; readonly secret?: string | undefined }

/**
 * A process of its own that opens the platform once. For each line that it reads, it provisions that
 * slug ten times at once and writes one line: the ten calls as JSON.
 */
await using ctx = await open(process.env as Environment)
process.stdout.write('ready\n')
for await (const slug of createInterface({ input: process.stdin })) {
  const calls = await Promise.all(
    Array.from(
      { length: 10 },
      (): Promise<Call> =>
        provisionTenant(ctx, { slug }, { deliver: async () => {} }).then(
          ({ outcome, apiKey }) => ({ answer: outcome, secret: apiKey?.secret }),
          (error: unknown) => ({ answer: codeOf(error) }),
        ),
    ),
  )
  process.stdout.write(`${JSON.stringify(calls)}\n`)
}
