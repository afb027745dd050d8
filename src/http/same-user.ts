import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

type Connection = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>

/** Whose a connection is does not change, so each is looked up once. */
const known = new WeakMap<Connection, Promise<boolean>>()

/**
 * Whether a connection over loopback was made by a program of the user that this process runs as, or of root. Services, such
 * as a proxy, run as users of their own. True where the system does not say: only Linux lists the owners of connections.
 */
export function isOfSameUser(connection: Connection): Promise<boolean> {
  let is = known.get(connection)
  if (is === undefined) known.set(connection, (is = lookUp(connection)))
  return is
}

async function lookUp({ remoteAddress, remotePort, localAddress, localPort }: Connection): Promise<boolean> {
  const there = endpoint(remoteAddress, remotePort)
  const table = await readFile(`/proc/net/${there.length > 13 ? 'tcp6' : 'tcp'}`, 'latin1').catch(() => null)
  if (table === null) return true
  const link = ` ${there} ${endpoint(localAddress, localPort)} `
  const line = table.split('\n').find((one) => one.includes(link))
  // A connection that its maker has closed belongs to nobody any more, and the system writes it down as root's.
  const [state, , , , uid] = line?.slice(line.indexOf(link) + link.length).split(/ +/) ?? []
  return state === established && (uid === '0' || uid === String(process.getuid?.()))
}

const established = '01'

/** As the system writes an address and its port: in hexadecimal, every 32 bits in the order of the machine. */
function endpoint(address = '', port = 0): string {
  const bytes = address.includes('.')
    ? address
        .replace(/^::ffff:/, '')
        .split('.')
        .map(Number)
    : loopback6
  const words = Array.from({ length: bytes.length / 4 }, (_, n) => Buffer.from(bytes.slice(4 * n, 4 * n + 4)))
  const hex = words.map((word) => (isLittleEndian ? word.reverse() : word).toString('hex')).join('')
  return `${hex}:${port.toString(16).padStart(4, '0')}`.toUpperCase()
}

/** The only one of IPv6: `::1`. */
const loopback6 = [...Array<number>(15).fill(0), 1]
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1
