import ipaddr from 'ipaddr.js'

/** Four decimal numbers: "10.1" and "012.0.0.0" mean something else to every reader. */
const IPV4 = /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}\//

/** Whether a text is a range of IPv4 or IPv6 addresses in CIDR form. IPv4-mapped IPv6 must be written as IPv4. */
export function isAddressRange(text: string): boolean {
  if (!/\/(0|[1-9]\d{0,2})$/.test(text) || !ipaddr.isValidCIDR(text)) return false
  const [base] = ipaddr.parseCIDR(text)
  return base.kind() === 'ipv4' ? IPV4.test(text) : !(base as ipaddr.IPv6).isIPv4MappedAddress()
}
