import type { User } from '../../../core/identity/user.js'

export const userJson = (user: User) => ({
  id: user.id,
  email: user.email,
  name: user.name,
  status: user.disabledAt ? 'disabled' : 'active',
  created_at: user.createdAt ?? null,
})
