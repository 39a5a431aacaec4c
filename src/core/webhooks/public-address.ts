import ipaddr from 'ipaddr.js'

/**
 * Whether an address is one of the open Internet, or in a range that the operator allows. Loopback, private,
 * link-local (with the clouds' metadata service), multicast, reserved and translated ones are not, in whatever
 * notation they come.
 *
 * @param allowed ranges in CIDR form
 */
export function isPublicAddress(address: string, allowed: readonly string[] = []): boolean {
  if (!ipaddr.isValid(address)) return false
  // `::ffff:127.0.0.1` is 127.0.0.1
  const plain = ipaddr.process(address)
  const isAllowed = allowed.some((range) => {
    const [base, bits] = ipaddr.parseCIDR(range)
    return base.kind() === plain.kind() && plain.match(base, bits)
  })
  return isAllowed || (plain.range() === 'unicast' && isGlobal(plain))
}

/** Of IPv6 only 2000::/3 is given out (RFC 4291, section 2.4): `::127.0.0.1` is a left-over of an older form. */
const isGlobal = (address: ipaddr.IPv4 | ipaddr.IPv6): boolean =>
  address.kind() === 'ipv4' || address.match(ipaddr.parseCIDR('2000::/3'))
