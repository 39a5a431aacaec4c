import { z } from 'zod'
import type { RateLimits } from '../../core/access/rate-limits.js'
import { actingAs, type Context } from '../../core/context.js'
import { AppError } from '../../core/errors.js'
import { AcceptInvitationInput, acceptInvitation } from '../../core/identity/accept-invitation.js'
import { type MintedToken, revokeToken } from '../../core/identity/create-token.js'
import { LogInInput, type LoginAttempts, logIn } from '../../core/identity/log-in.js'
import { ROLES } from '../../core/identity/roles.js'
import { listMemberships, type Membership } from '../../core/identity/token-store.js'
import type { User } from '../../core/identity/user.js'
import { TENANT_STATUSES } from '../../core/tenants/tenant.js'
import { clientAddress, originOf } from '../client-address.js'
import { countBeforehand, secondsLeft } from '../count-attempts.js'
import type { Operation, OperationCall } from '../operation.js'
import { setHeader } from '../set-header.js'

export type AuthOperation = Operation & {
  /** Open to everyone: it is how one gets a token. */
  readonly isPublic?: true
}

const time = z.iso.datetime().describe('RFC 3339 in UTC')
const person = z.strictObject({ id: z.string(), name: z.string(), email: z.string() })
const membership = z.strictObject({
  tenant: z.strictObject({
    id: z.string().describe('What X-Tenant-ID takes'),
    slug: z.string(),
    name: z.string(),
    status: z.enum(TENANT_STATUSES),
  }),
  role: z.enum(ROLES),
})
const session = z.strictObject({
  token: z.string().describe('For the Authorization header, as a bearer token; shown this once'),
  token_type: z.literal('Bearer'),
  expires_at: time.nullable(),
  user: person,
  memberships: z.array(membership),
})

/** Getting a token, asking about it, and giving it back. */
export const authOperations = (ctx: Context, limits: RateLimits): readonly AuthOperation[] => [
  {
    id: 'logIn',
    method: 'post',
    path: '/login',
    tag: 'auth',
    isPublic: true,
    summary: 'Log in',
    description:
      'A token for an e-mail address and its password. An unknown address and a wrong password are answered alike. Five attempts in 60 seconds; then AUTH.ACCOUNT_LOCKED.',
    body: {
      schema: LogInInput,
      example: { email: 'ada@example.com', password: 'correct horse battery staple' },
    },
    answers: { 200: { description: 'A token', schema: session } },
    errors: ['AUTH.INVALID_CREDENTIALS', 'AUTH.ACCOUNT_LOCKED', 'RATE_LIMIT.EXCEEDED'],
    handle: (call) =>
      attempted(ctx, limits, call, async (attempts) => ({
        status: 200,
        data: await sessionOf(ctx, await logIn(asked(ctx, call), attempts, call.body)),
      })),
  },
  {
    id: 'acceptInvitation',
    method: 'post',
    path: '/invitations/accept',
    tag: 'auth',
    isPublic: true,
    summary: 'Accept an invitation',
    description:
      'Makes a member of who holds an invitation. A user of that address gives their password; where there is none, one is made with this name and password.',
    body: {
      schema: AcceptInvitationInput,
      example: {
        token: 'vxi_0000000000000000000000000000000000000000',
        name: 'Ada',
        password: 'correct horse battery staple',
      },
    },
    answers: { 201: { description: 'A token', schema: session } },
    errors: [
      'INVITATION.NOT_FOUND',
      'MEMBER.EXISTS',
      'USER.EXISTS',
      'AUTH.INVALID_CREDENTIALS',
      'AUTH.ACCOUNT_LOCKED',
      'RATE_LIMIT.EXCEEDED',
    ],
    handle: (call) =>
      attempted(ctx, limits, call, async (attempts) => ({
        status: 201,
        data: await sessionOf(ctx, await acceptInvitation(asked(ctx, call), attempts, call.body)),
      })),
  },
  {
    id: 'whoAmI',
    method: 'get',
    path: '/me',
    tag: 'auth',
    summary: 'Show who is calling',
    description:
      'The user behind the token, what the token may be used for, and where they belong.',
    answers: {
      200: {
        description: 'The user and their memberships',
        schema: z.strictObject({
          user: person,
          type: z.enum(['user', 'admin']),
          token: z.strictObject({
            id: z.string(),
            name: z.string(),
            abilities: z.array(z.string()),
            expires_at: time.nullable(),
          }),
          memberships: z.array(membership),
        }),
      },
    },
    errors: [],
    async handle({ c }) {
      const { user, admin, token, memberships } = c.get('standing')
      return {
        status: 200,
        data: {
          user: user ?? admin,
          type: user ? 'user' : 'admin',
          token: {
            id: token.id,
            name: token.name,
            abilities: token.abilities,
            expires_at: token.expiresAt ?? null,
          },
          memberships: memberships.map(membershipObject),
        },
      }
    },
  },
  {
    id: 'logOut',
    method: 'post',
    path: '/logout',
    tag: 'auth',
    summary: 'Log out',
    description: 'Ends the token that is sent. The next request with it is refused.',
    answers: {
      200: { description: 'Ended', schema: z.strictObject({ logged_out: z.literal(true) }) },
    },
    errors: [],
    async handle({ c }) {
      const { token, user, admin } = c.get('standing')
      const who = user ?? admin
      const actor = {
        // an admin runs the platform, and is no user of the same number
        type: user ? 'user' : 'operator',
        id: user ? user.id : `admin:${admin?.id}`,
        name: who?.email ?? '',
        ...originOf(c, ctx.config.trustedHops),
      } as const
      await revokeToken(actingAs(ctx, actor, c.get('requestId')), { id: token.id }).catch(
        // somebody was faster: it has ended all the same
        (error) => {
          if (!(error instanceof AppError) || error.code !== 'TOKEN.NOT_FOUND') throw error
        },
      )
      return { status: 200, data: { logged_out: true } }
    },
  },
]

const asked = (ctx: Context, { c }: OperationCall): Context =>
  actingAs(ctx, { ...ctx.actor, ...originOf(c, ctx.config.trustedHops) }, c.get('requestId'))

/** Counts attempts by the address of the caller, and says when to come back. */
function attempted<T>(
  ctx: Context,
  limits: RateLimits,
  { c }: OperationCall,
  work: (attempts: LoginAttempts) => Promise<T>,
): Promise<T> {
  const now = ctx.now()
  const address = clientAddress(c, ctx.config.trustedHops)
  const attempts: LoginAttempts = {
    async count(email) {
      const state = await limits.countLogin(email, address)
      if (!state.exceeded) return
      const seconds = secondsLeft(state, now)
      setHeader(c, 'Retry-After', String(seconds))
      throw new AppError('AUTH.ACCOUNT_LOCKED', seconds).with({
        limit: state.limit,
        reset: seconds,
      })
    },
    forget: (email) => limits.forgetLogins(email, address),
  }
  return countBeforehand(c, limits, address, now, () => work(attempts))
}

async function sessionOf(
  ctx: Context,
  { user, token, plainText }: MintedToken & { readonly user: User },
) {
  return {
    token: plainText,
    token_type: 'Bearer',
    expires_at: token.expiresAt ?? null,
    user: { id: user.id, name: user.name, email: user.email },
    memberships: (await listMemberships(ctx.platform, user.id)).map(membershipObject),
  }
}

const membershipObject = ({ role, tenant }: Membership) => ({
  tenant: { id: tenant.id, slug: tenant.slug, name: tenant.name, status: tenant.status },
  role,
})
