import { z } from 'zod'

export const TENANT_STATUSES = [
  'provisioning',
  'failed',
  'active',
  'suspended',
  'archived',
] as const
export type TenantStatus = (typeof TENANT_STATUSES)[number]

export type Tenant = {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly status: TenantStatus
  readonly statusReason: string | undefined
  readonly planId: string
  readonly serverId: string
  readonly database: string
  readonly databaseUser: string
  readonly credentialsKeyId: string
  readonly credentialsGeneration: number
  readonly activatedAt: Date | undefined
  readonly suspendedAt: Date | undefined
  readonly createdAt: Date
}

/** Names that a command, a path or a person would take for something else. */
const RESERVED = [
  'admin',
  'all',
  'api',
  'mysql',
  'platform',
  'root',
  'system',
  'template',
  'tenant',
  'validonx',
  'www',
]

const SLUG = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/

/** 2 to 40 lower-case letters and digits, in words joined by single hyphens. No `_`: so no two slugs share a database name. */
export const slugSchema = z
  .string('must be text')
  .min(2, 'must be 2 to 40 characters long')
  .max(40, 'must be 2 to 40 characters long')
  .regex(
    SLUG,
    'must be lower-case letters and digits in words joined by "-", beginning with a letter',
  )
  .refine((slug) => !RESERVED.includes(slug), 'is reserved: choose another')

/** `vx_tenant_acme-west` is no name that needs no quotes; `vx_tenant_acme_west` is. */
export const databaseNameOf = (prefix: string, slug: string): string =>
  `${prefix}${slug.replaceAll('-', '_')}`

/** `acme-west` → `Acme West`. */
export const nameFromSlug = (slug: string): string =>
  slug
    .split('-')
    .map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`)
    .join(' ')
