import { hostname, userInfo } from 'node:os'

/** Who acts. Audit rows carry it, so nothing ever asks "who was it?" afterwards. */
export type Actor = {
  readonly type: 'operator' | 'user' | 'api_key' | 'system'
  readonly id: string
  readonly name: string
  /** For whom, where that is somebody else. */
  readonly onBehalfOf?: string | undefined
  /** Where a request came from. */
  readonly address?: string | undefined
  readonly userAgent?: string | undefined
}

/** The person at the terminal: VALIDONX_OPERATOR, else the system's user and host; and for whom they act. */
export function operatorActor(named: string | undefined, onBehalfOf?: string): Actor {
  const name = named ?? `${systemUser()}@${hostname()}`
  return { type: 'operator', id: name.slice(0, 120), name: name.slice(0, 120), onBehalfOf }
}

export const systemActor = (name: string): Actor => ({ type: 'system', id: name, name })

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`
  }
}
