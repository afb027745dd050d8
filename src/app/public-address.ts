import { BlockList, isIP } from 'node:net'

/**
 * Is this an address of the public internet? What is not in the list of those handed out is not, whatever it is for.
 *
 * After IANA's registries of special purposes, of which all blocks are refused, also those that may be reached from
 * everywhere (relays, anycast for DNS): nobody receives callbacks there.
 * https://www.iana.org/assignments/iana-ipv4-special-registry
 * https://www.iana.org/assignments/iana-ipv6-special-registry
 *
 * @param address as the resolver or a parsed URL spells it, without brackets
 */
export function isPublicAddress(address: string): boolean {
  // A zone (`fe80::1%eth0`) names an interface of this machine: nothing public has one.
  const version = address.includes('%') ? 0 : isIP(address)
  if (version === 4) return !special.check(address, 'ipv4')
  return version === 6 && globalUnicast.check(address, 'ipv6') && !special.check(address, 'ipv6')
}

const blocks4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // between a provider and its customers
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, and the metadata of clouds
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays, once
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
  // In no registry: at this one address Azure answers its own machines, with their secrets among it.
  '168.63.129.16/32',
]

/** The only part of IPv6 that is handed out: unspecified, loopback, local, mapped, translated and multicast lie outside. */
const handedOut6 = ['2000::/3']

const blocks6 = [
  '2001::/23', // protocol assignments: Teredo, benchmarking, ORCHID …
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4, with an IPv4 address inside
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
]

const special = listOf([...blocks4, ...blocks6])
const globalUnicast = listOf(handedOut6)

function listOf(blocks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const block of blocks) {
    const [network = '', bits] = block.split('/')
    list.addSubnet(network, Number(bits), network.includes(':') ? 'ipv6' : 'ipv4')
  }
  return list
}
