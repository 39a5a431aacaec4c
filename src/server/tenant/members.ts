import { z } from 'zod'
import {
  changeRole,
  etagOfMember,
  getMember,
  removeMember,
  roleSchema,
} from '../../core/identity/change-members.js'
import { type Invitation, isOpen, listInvitations } from '../../core/identity/invitation-store.js'
import { InviteInput, invite, revokeInvitation } from '../../core/identity/invite.js'
import { listMembers, toMemberObject } from '../../core/identity/member-store.js'
import { ROLES } from '../../core/identity/roles.js'
import { DEFAULT_PAGE, pageInput, placeOfCursor, toPage } from '../../core/page.js'
import { parse } from '../../core/parse.js'
import type { OperationCall } from '../operation.js'
import { id, idParameter, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const memberObject = z.strictObject({
  user_id: z.string(),
  email: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  status: z.enum(['active', 'disabled']),
  created_at: time,
})

const invitationObject = z.strictObject({
  id,
  email: z.string(),
  role: z.enum(ROLES),
  status: z.enum(['open', 'accepted', 'revoked', 'expired']),
  invited_by: z.string(),
  expires_at: time,
  created_at: time,
})

const toInvitationObject = (now: Date) => (invitation: Invitation) => ({
  id: invitation.id,
  email: invitation.email,
  role: invitation.role,
  status: invitation.acceptedAt
    ? 'accepted'
    : invitation.revokedAt
      ? 'revoked'
      : isOpen(invitation, now)
        ? 'open'
        : 'expired',
  invited_by: invitation.invitedBy,
  expires_at: invitation.expiresAt,
  created_at: invitation.createdAt,
})

const PageQuery = z.strictObject(pageInput)
const ChangeRoleBody = z.strictObject({ role: roleSchema })

/** The tenant, and what the caller is in it. */
const membersOf = ({ c }: OperationCall) => ({
  id: c.get('scope').tenant.id,
  askedBy: c.get('role'),
})

const tag = 'tenant: members'
const ofMember = { name: 'userId', description: 'The user’s id', example: '17' }

export const memberOperations: readonly TenantOperation[] = [
  {
    id: 'listMembers',
    method: 'get',
    path: '/members',
    tag,
    permission: 'members.read',
    summary: 'List members',
    description: 'Who runs the tenant.',
    query: PageQuery,
    answers: { 200: { description: 'A page of members', schema: pageOf(memberObject) } },
    errors: [],
    async handle({ c, query }) {
      const { limit = DEFAULT_PAGE, cursor } = parse(PageQuery, query)
      const [afterUserId] = placeOfCursor(cursor, 'members', ['number']) ?? []
      const found = await listMembers(c.get('acting').platform, c.get('scope').tenant.id, {
        afterUserId: afterUserId ?? undefined,
        limit: limit + 1,
      })
      const page = toPage(found, limit, 'members', ({ userId }) => [userId])
      return { status: 200, data: pageData(page, toMemberObject) }
    },
  },
  {
    id: 'showMember',
    method: 'get',
    path: '/members/{userId}',
    tag,
    permission: 'members.read',
    summary: 'Show a member',
    description: 'With an ETag for If-Match.',
    parameter: ofMember,
    isConditional: true,
    answers: {
      200: { description: 'The member', schema: z.strictObject({ member: memberObject }) },
    },
    errors: ['MEMBER.NOT_FOUND'],
    async handle({ c, id: userId }) {
      const member = await getMember(c.get('acting'), c.get('scope').tenant.id, userId)
      return {
        status: 200,
        data: { member: toMemberObject(member) },
        etag: etagOfMember(member),
      }
    },
  },
  {
    id: 'changeMemberRole',
    method: 'patch',
    path: '/members/{userId}',
    tag,
    permission: 'members.write',
    summary: 'Change a member’s role',
    description: 'Only owners make owners, and only they change one. The last owner stays one.',
    parameter: ofMember,
    body: { schema: ChangeRoleBody, example: { role: 'developer' } },
    isConditional: true,
    answers: {
      200: { description: 'The member', schema: z.strictObject({ member: memberObject }) },
    },
    errors: ['MEMBER.NOT_FOUND', 'MEMBER.LAST_OWNER'],
    async handle(call) {
      const { role } = parse(ChangeRoleBody, call.body)
      const member = await changeRole(
        call.c.get('acting'),
        membersOf(call),
        { user_id: call.id, role },
        preconditionsOf(call),
      )
      return {
        status: 200,
        data: { member: toMemberObject(member) },
        etag: etagOfMember(member),
      }
    },
  },
  {
    id: 'removeMember',
    method: 'delete',
    path: '/members/{userId}',
    tag,
    permission: 'members.write',
    summary: 'Remove a member',
    description: 'With the next request they are a stranger here. The last owner stays.',
    parameter: ofMember,
    isConditional: true,
    answers: {
      200: { description: 'Removed', schema: z.strictObject({ removed: z.literal(true) }) },
    },
    errors: ['MEMBER.NOT_FOUND', 'MEMBER.LAST_OWNER'],
    async handle(call) {
      await removeMember(
        call.c.get('acting'),
        membersOf(call),
        { user_id: call.id },
        preconditionsOf(call),
      )
      return { status: 200, data: { removed: true } }
    },
  },
  {
    id: 'listInvitations',
    method: 'get',
    path: '/invitations',
    tag,
    permission: 'members.read',
    summary: 'List invitations',
    description: 'Newest first; never their tokens.',
    query: PageQuery,
    answers: { 200: { description: 'A page of invitations', schema: pageOf(invitationObject) } },
    errors: [],
    async handle({ c, query }) {
      const { limit = DEFAULT_PAGE, cursor } = parse(PageQuery, query)
      const [beforeId] = placeOfCursor(cursor, 'invitations', ['id']) ?? []
      const ctx = c.get('acting')
      const found = await listInvitations(ctx.platform, c.get('scope').tenant.id, {
        beforeId: beforeId ?? undefined,
        limit: limit + 1,
      })
      const page = toPage(found, limit, 'invitations', (invitation) => [invitation.id])
      return { status: 200, data: pageData(page, toInvitationObject(ctx.now())) }
    },
  },
  {
    id: 'createInvitation',
    method: 'post',
    path: '/invitations',
    tag,
    permission: 'members.write',
    summary: 'Invite somebody',
    description:
      'The token is in this answer, and nowhere else: hand it on. Who has it joins with POST /v1/auth/invitations/accept.',
    body: { schema: InviteInput, example: { email: 'grace@example.com', role: 'developer' } },
    isIdempotent: true,
    answers: {
      201: {
        description: 'Invited',
        schema: z.strictObject({
          invitation: invitationObject,
          token: z.string().describe('Shown this once'),
        }),
      },
    },
    errors: ['INVITATION.EXISTS', 'MEMBER.EXISTS'],
    async handle(call) {
      const ctx = call.c.get('acting')
      const { result, replayed } = await invite(
        ctx,
        membersOf(call),
        call.body,
        call.idempotencyKey,
      )
      const invitation = toInvitationObject(ctx.now())(result.invitation)
      return { status: 201, data: { invitation, token: result.token }, replayed }
    },
  },
  {
    id: 'revokeInvitation',
    method: 'delete',
    path: '/invitations/{invitationId}',
    tag,
    permission: 'members.write',
    summary: 'Revoke an invitation',
    description: 'Its token lets nobody in any more.',
    parameter: idParameter('invitationId', 'invitation'),
    answers: {
      200: {
        description: 'The invitation',
        schema: z.strictObject({ invitation: invitationObject }),
      },
    },
    errors: ['INVITATION.NOT_FOUND'],
    async handle(call) {
      const ctx = call.c.get('acting')
      const invitation = await revokeInvitation(ctx, membersOf(call), call.id)
      return { status: 200, data: { invitation: toInvitationObject(ctx.now())(invitation) } }
    },
  },
]
