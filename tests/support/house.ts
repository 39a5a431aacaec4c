import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test as base, inject } from 'vitest'
import { main } from '../../src/cli/main.js'
import type { Context } from '../../src/core/context.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createApp } from '../../src/server/app.js'
import { createReadiness } from '../../src/server/readiness.js'
import {
  dropPlatform,
  type Environment,
  freshEnvironment,
  initialize,
  open,
  openProvisioner,
} from './platform.js'

export type Run = { readonly out: string; readonly said: string; readonly exit: number }

let count = 0
/** A slug that no other test of this run has. */
export function freshSlug(): string {
  count += 1
  return `t${count}${Math.random().toString(36).slice(2, 8)}`
}

/** Provisions a tenant and answers its API key. */
export async function provision(ctx: Context, slug: string, plan = 'starter'): Promise<string> {
  const { apiKey } = await provisionTenant(ctx, { slug, plan }, { deliver: async () => {} })
  if (!apiKey) throw new Error(`${slug} was there already`)
  return apiKey.secret
}

/** So many tenants, four at a time. Answers their slugs. */
export async function provisionFleet(ctx: Context, count: number): Promise<string[]> {
  const slugs = Array.from({ length: count }, () => freshSlug()).sort()
  const queue = [...slugs]
  await Promise.all(
    [1, 2, 3, 4].map(async () => {
      for (let slug = queue.pop(); slug; slug = queue.pop()) await provision(ctx, slug)
    }),
  )
  return slugs
}

export type Seat = {
  /** The width of the terminal that it writes to; without one it writes to pipes. */
  readonly columns?: number
  /** Ctrl-C comes when this is over. */
  readonly stop?: Promise<unknown>
  /** Sees what it prints while it prints. */
  readonly watch?: (out: string) => void
}

/** Runs a command line in this process, on captured streams. */
export async function runCli(
  environment: Environment,
  argv: readonly string[],
  input = '',
  { columns, stop, watch = () => {} }: Seat = {},
): Promise<Run> {
  const terminal = columns === undefined ? {} : { isTTY: true, columns }
  const stdin = new PassThrough()
  const stdout = Object.assign(new PassThrough(), terminal)
  const stderr = Object.assign(new PassThrough(), terminal)
  stdout.on('data', (chunk: Buffer) => watch(chunk.toString()))
  stdin.end(input)
  let exit = 0
  // read while it writes: a command waits for whoever reads
  const [out, said] = [text(stdout), text(stderr)]
  await main(argv, {
    stdin,
    stdout,
    stderr,
    environment,
    folder: '/nonexistent',
    setExit: (status) => {
      exit = status
    },
    onStop: (callback) => {
      void stop?.then(() => callback('SIGINT'))
      return () => {}
    },
  })
  stdout.end()
  stderr.end()
  return { out: await out, said: await said, exit }
}

/**
 * A real server, nothing shared: a platform of its own for each file, a tenant of its own for each
 * test that asks for one.
 */
export const test = base
  .extend('environment', { scope: 'file' }, async ({}, { onCleanup }) => {
    const environment = freshEnvironment(inject('databaseUrl'))
    await initialize(environment)
    onCleanup(async () => {
      if (inject('keepsData')) await dropPlatform(environment)
    })
    return environment
  })
  .extend('ctx', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const ctx = await open(environment)
    onCleanup(() => ctx[Symbol.asyncDispose]())
    return ctx
  })
  .extend('provisioner', { scope: 'file' }, async ({}, { onCleanup }) => {
    const provisioner = openProvisioner(inject('databaseUrl'))
    onCleanup(() => provisioner[Symbol.asyncDispose]())
    return provisioner
  })
  .extend('tenant', async ({ ctx }) => {
    const slug = freshSlug()
    const apiKey = await provision(ctx, slug)
    return { slug, apiKey }
  })
  .extend('scope', async ({ ctx, tenant }) => enterTenant(ctx, tenant.slug))
  .extend('app', { scope: 'file' }, async ({ ctx }, { onCleanup }) => {
    const readiness = createReadiness(ctx.platform)
    const app = createApp(ctx, readiness.ask)
    onCleanup(() => app[Symbol.asyncDispose]())
    return app
  })
  .extend(
    'cli',
    async ({ environment }) =>
      (...argv: string[]) =>
        runCli(environment, argv),
  )
