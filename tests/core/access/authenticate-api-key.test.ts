import { describe, expect } from 'vitest'
import { mintApiKey } from '../../../src/core/access/api-key.js'
import { rehashApiKey } from '../../../src/core/access/api-key-store.js'
import { authenticateApiKey } from '../../../src/core/access/authenticate-api-key.js'
import { createApiKey } from '../../../src/core/access/create-api-key.js'
import { KeyStandings } from '../../../src/core/access/key-standings.js'
import { Keyring, newAppKey } from '../../../src/core/crypto/keyring.js'
import { test } from '../../support/house.js'

describe('a key ring with an old application key', () => {
  test('lets a key in whose hash another process renews between the two look-ups', async ({
    ctx,
    tenant,
    environment,
  }) => {
    const { secret, key } = await createApiKey(ctx, { slug: tenant.slug, name: 'moved' })
    const keyring = new Keyring(newAppKey(), [environment.VALIDONX_APP_KEY ?? ''])
    const [to, from] = keyring.ids.map((id) => keyring.hashApiKey(secret, id))
    if (!to || !from) throw new Error('two hashes are needed')
    using standings = new KeyStandings(ctx.platform)
    // the first look-up has been, and found nothing under the new hash
    await standings.read(to.toString('hex'), to)
    await rehashApiKey(ctx.platform, {
      id: key.id,
      from,
      to,
      appKeyId: keyring.currentId,
      at: ctx.now(),
    })

    const standing = await authenticateApiKey(standings, keyring, secret, ctx.now())
    expect(standing.keyId).toBe(key.id)
  })

  test('refuses an unknown key, and asks the database once for a thousand tries', async ({
    ctx,
    environment,
  }) => {
    const keyring = new Keyring(newAppKey(), [environment.VALIDONX_APP_KEY ?? ''])
    using standings = new KeyStandings(ctx.platform)
    const secret = mintApiKey()
    const asked: string[] = []
    ctx.platform.on('query', ({ sql }: { sql: string }) => asked.push(sql))
    const tries: unknown[] = []
    for (let count = 0; count < 1_000; count += 1)
      tries.push(
        await authenticateApiKey(standings, keyring, secret, ctx.now()).catch(({ code }) => code),
      )

    expect(new Set(tries)).toEqual(new Set(['AUTH.INVALID_API_KEY']))
    expect(asked.filter((sql) => sql.includes('api_keys')).length).toBeLessThan(10)
  })
})
