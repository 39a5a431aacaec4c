import type { Member } from '../../../core/identity/member-store.js'

export const memberJson = (member: Member) => ({
  user_id: member.userId,
  email: member.email,
  name: member.name,
  role: member.role,
  status: member.isDisabled ? 'disabled' : 'active',
  created_at: member.createdAt,
})
