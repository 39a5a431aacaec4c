import type { Token } from '../../../core/identity/token.js'

/** Never the token itself. */
export const tokenJson = (token: Token) => ({
  id: token.id,
  name: token.name,
  abilities: token.abilities,
  created_at: token.createdAt ?? null,
  last_used_at: token.lastUsedAt ?? null,
  expires_at: token.expiresAt ?? null,
})
