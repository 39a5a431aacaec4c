import { test as base, inject } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createApp } from '../../src/server/app.js'
import { createReadiness } from '../../src/server/readiness.js'
import { dropPlatform, freshEnvironment, initialize, open, openProvisioner } from './platform.js'
import { runCli } from './run-cli.js'

export { type Run, runCli, type Seat } from './run-cli.js'

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
