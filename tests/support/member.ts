import type { Context } from '../../src/core/context.js'
import { addMember } from '../../src/core/identity/change-members.js'
import { createToken } from '../../src/core/identity/create-token.js'
import type { Role } from '../../src/core/identity/roles.js'
import { insertUser } from '../../src/core/identity/user-store.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import type { App } from '../../src/server/app.js'
import { freshWord } from './platform.js'
import { fromElsewhere } from './shop.js'

export type Person = { readonly id: string; readonly email: string; readonly token: string }

/** A user with a token, who belongs to nothing yet and has no password. */
export async function makePerson(
  ctx: Context,
  abilities: readonly string[] = ['tenant'],
): Promise<Person> {
  const email = `${freshWord()}@example.com`
  const of = { name: 'P', email, passwordHash: '', isVerified: true }
  const { id } = await insertUser(ctx.platform, of, new Date())
  const { plainText } = await createToken(ctx, { user: email, abilities })
  return { id, email, token: plainText }
}

/** A member of a tenant, with a token. */
export async function makeMember(ctx: Context, slug: string, role: Role): Promise<Person> {
  const person = await makePerson(ctx)
  const { id } = await getTenant(ctx.platform, slug)
  await addMember(ctx, { id }, { user: person.email, role })
  return person
}

/** An answer of the Tenant API, as far as tests look into it without a schema. */
export type TenantAnswer = {
  readonly status: number
  readonly headers: Headers
  // tests read what they know to be there
  readonly data: Readonly<Record<string, unknown>> & {
    readonly items?: readonly Readonly<Record<string, unknown>>[]
    readonly next_cursor?: string | null
  }
  readonly error: { readonly code: string; readonly details: Readonly<Record<string, unknown>> }
  readonly text: string
}

export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<TenantAnswer>

/** Calls the Tenant API as somebody. */
export const asking =
  (app: Pick<App, 'request'>, token: string, always: Readonly<Record<string, string>> = {}): Ask =>
  async (method, path, body, headers = {}) => {
    const response = await app.request(
      `/v1/tenant${path}`,
      {
        method,
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...always,
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      fromElsewhere(),
    )
    const text = await response.text()
    const { data, error } = (text === '' ? {} : JSON.parse(text)) as TenantAnswer
    return { status: response.status, headers: response.headers, data, error, text }
  }

/** The one object of an answer, by its name. */
export function objectOf<T = Readonly<Record<string, unknown>>>(
  { data, text }: TenantAnswer,
  name: string,
): T & { readonly id: string } {
  const found = data?.[name]
  if (found === undefined) throw new Error(`no ${name} in ${text}`)
  return found as T & { readonly id: string }
}
