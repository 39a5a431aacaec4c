import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { PASSWORD_HASHES } from '../../src/core/config.js'
import { ROOT } from './source-files.js'

export type Pair = { readonly password: string; readonly hash: string }
/** What each of Laravel's drivers does with a login: it accepts, refuses, or throws. */
export type Verdict = Readonly<Record<(typeof PASSWORD_HASHES)[number], string>>

/** Hashes by PHP; undefined on a machine without PHP. */
export const makeByPhp = (): Promise<readonly Pair[] | undefined> => run('make', '')

/** What Laravel's hashers say of each pair; undefined on a machine without PHP. */
export const judgeByPhp = (pairs: readonly Pair[]): Promise<readonly Verdict[] | undefined> =>
  run('judge', JSON.stringify(pairs))

async function run<T>(command: string, input: string): Promise<T | undefined> {
  const php = spawn('php', [join(ROOT, 'tests/vectors/passwords.php'), command], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const isMissing = new Promise<true>((done) => php.once('error', () => done(true)))
  php.stdin.on('error', () => {})
  php.stdin.end(input)
  const printed = await Promise.race([isMissing, text(php.stdout)])
  return printed === true || printed === '' ? undefined : (JSON.parse(printed) as T)
}
