import { text } from 'node:stream/consumers'
import { AppError } from '../core/errors.js'
import type { Session } from './runtime.js'

/**
 * A new password: asked for twice at a terminal, or read from standard input with `--password-stdin`. Never
 * from an argument: those are public on the machine.
 *
 * @throws USAGE.INVALID where nobody can be asked, or the two differ
 */
export async function readNewPassword(
  { runtime, terminal }: Pick<Session, 'runtime' | 'terminal'>,
  { passwordStdin }: { readonly passwordStdin?: true },
): Promise<string> {
  if (passwordStdin) return (await text(runtime.stdin)).replace(/\r?\n$/, '')
  if (!terminal.canAsk) {
    throw new AppError(
      'USAGE.INVALID',
      'A password is needed, and nobody can be asked. Pipe it in with --password-stdin.',
    )
  }
  const password = await terminal.askSecret('Password:')
  if ((await terminal.askSecret('Again:')) !== password)
    throw new AppError('USAGE.INVALID', 'The two passwords differ. Nothing was done.')
  return password
}
