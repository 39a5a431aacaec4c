import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PASSWORD_HASHES } from '../../src/core/config.js'
import { hashPassword } from '../../src/core/identity/password.js'
import { judgeByPhp, makeByPhp } from '../support/php-passwords.js'
import { ROOT } from '../support/source-files.js'

/** Writes tests/vectors/passwords.json. Needs PHP: `npx tsx tests/vectors/write-passwords.ts`. */
const byPhp = (await makeByPhp()) ?? []

const byUs = []
for (const password of ['correct horse battery staple', 'Grüße, 世界', '0123456789'.repeat(7)])
  for (const algorithm of PASSWORD_HASHES)
    byUs.push({ algorithm, password, hash: await hashPassword(password, algorithm) })

const judged = async (pairs: readonly { readonly password: string; readonly hash: string }[]) => {
  const verdicts = (await judgeByPhp(pairs)) ?? []
  return pairs.map((pair, index) => ({ ...pair, laravel: verdicts[index] }))
}

await writeFile(
  join(ROOT, 'tests/vectors/passwords.json'),
  `${JSON.stringify({ by_php: await judged(byPhp), by_us: await judged(byUs) }, undefined, 2)}\n`,
)
