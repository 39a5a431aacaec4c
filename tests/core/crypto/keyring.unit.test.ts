import { expect, test } from 'vitest'
import { Keyring, newAppKey } from '../../../src/core/crypto/keyring.js'

test('every purpose and every key derives something else', () => {
  const [one, other] = [newAppKey(), newAppKey()]
  const ring = new Keyring(one, [other])
  const [current, previous] = ring.ids

  expect(ring.currentId).toBe(current)
  expect(ring.hashApiKey('vx_x', current)).not.toEqual(ring.hashApiKey('vx_x', previous))
  expect(ring.tenantPassword('t', 1)).not.toBe(ring.tenantPassword('t', 2))
  expect(ring.tenantPassword('t', 1)).not.toBe(ring.tenantPassword('u', 1))
  expect(ring.tenantPassword('t', 1, previous)).toBe(new Keyring(other).tenantPassword('t', 1))
  expect(ring.currentId).not.toContain(one)
})

test('a sealed secret opens under its own context and key alone, and after a rotation', () => {
  const [one, other] = [newAppKey(), newAppKey()]
  const sealed = new Keyring(one).encrypt('whsec_abc', 'endpoint-1')

  expect(new Keyring(one).decrypt(sealed, 'endpoint-1')).toBe('whsec_abc')
  expect(new Keyring(other, [one]).decrypt(sealed, 'endpoint-1')).toBe('whsec_abc')
  expect(() => new Keyring(one).decrypt(sealed, 'endpoint-2')).toThrow()
  expect(() => new Keyring(other).decrypt(sealed, 'endpoint-1')).toThrow()
  expect(() => new Keyring(one).decrypt(`${sealed.slice(0, -2)}AA`, 'endpoint-1')).toThrow()
  expect(new Keyring(one).encrypt('whsec_abc', 'endpoint-1')).not.toBe(sealed)
})
