import { CeleriacError, type ErrorCode, StoreUnavailable } from '../../core/errors.ts'
import { closedBy } from '../../engine/transfer.ts'

/** What an error of the driver or the server means for a request. */
export interface Trouble {
  /** `lost`: the connection is gone, or there was none. `again`: the server gave up the request, and would not a second time. */
  readonly kind: 'lost' | 'again' | 'refused'
  readonly code: ErrorCode
  /** What is wrong and what to do, to stand behind the name of the server. */
  readonly sentence: string
}

/** SQLSTATEs that mean something to users: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const meaning: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  '25006': [
    'STORE_READ_ONLY',
    'may only be read: it is a standby, or transactions are read-only by its settings; give the address of the primary',
  ],
  '28000': ['STORE_DENIED', 'refused this user: check the user in the url, and pg_hba.conf on the server'],
  '28P01': ['STORE_DENIED', 'refused the user or the password: check both in the url'],
  '3D000': ['STORE_UNREACHABLE', 'has no such database: make it with createdb, or name another one in the url'],
  '3F000': ['STORE_FAILED', 'has lost the schema of the store while it was in use: restart to make it anew'],
  '42501': ['STORE_DENIED', 'lets this user not do what is needed: have its owner grant the right that is named here'],
  '42P01': ['STORE_FAILED', 'has lost a table of the store while it was in use: run celeriac migrate'],
  '42883': ['STORE_FAILED', 'lacks a function of the store: run celeriac migrate with this version of the package'],
  '53100': [
    'STORE_FULL',
    'has no room on its disk; nothing was stored: make room and try again, workers go on by themselves',
  ],
  '53200': ['STORE_FAILED', 'is out of memory; nothing was stored: give it more, or allow fewer connections'],
  '53300': [
    'STORE_UNREACHABLE',
    'has no connection left: raise max_connections, lower "size" in the url, or put PgBouncer in front of it',
  ],
  '54000': ['TOO_LARGE', 'takes no request of this size: send less at once'],
  '55P03': [
    'STORE_BUSY',
    'waited too long for a lock; nothing was stored, try again: celeriac doctor looks for who holds it',
  ],
  '57014': ['STORE_BUSY', 'cancelled the request, which took too long; nothing was stored, try again'],
  XX001: ['STORE_CORRUPT', 'found its data damaged: restore a backup'],
  XX002: ['STORE_CORRUPT', 'found an index damaged: run reindex, and check the disk'],
}

/** The server went away, is coming up, or ended this connection. */
const lostStates = ['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '53300']
/** The server chose this transaction to give way to another. */
const againStates = ['40001', '40P01', '40003']

/** How Node says that there is no way to the server, or no longer. */
const lostCodes = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EACCES',
]
const lostMessages =
  /Connection terminated|timeout expired|not queryable|socket disconnected|Connection ended unexpectedly/

/** What Node says of a text that it cannot make, and the server of memory that it may not take at once. */
const tooLong =
  /Invalid string length|Cannot create a string longer|The value of "[^"]*" is out of range|Invalid array length|invalid memory alloc request size/

const certificateCodes = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|EPROTO/

export function troubleOf(error: unknown): Trouble {
  const { code, message, constraint } = told(error)
  const known = meaning[code]
  // Of two claims under one token, sent one after the other, the later one sees what the first has done once it is repeated.
  if (againStates.includes(code) || constraint === 'claims_pkey')
    return {
      kind: 'again',
      code: 'STORE_BUSY',
      sentence: `gave up the request again and again (${message}); nothing was stored, try again`,
    }
  if (known !== undefined)
    return {
      kind: lostStates.includes(code) ? 'lost' : 'refused',
      code: known[0],
      sentence: `${known[1]} (${message})`,
    }
  if (code.startsWith('08') || lostStates.includes(code)) return ofConnection(message)
  if (lostCodes.includes(code)) return unreachable(code, message)
  if (/^SASL|password must be a string|no password/i.test(message))
    return {
      kind: 'refused',
      code: 'STORE_DENIED',
      sentence: `wants a password: give it in the url, or as PGPASSWORD (${message})`,
    }
  if (certificateCodes.test(code) || /does not support SSL|SSL/.test(message)) return ofEncryption(message)
  if (/after calling end on the pool/.test(message))
    return {
      kind: 'refused',
      code: 'STORE_UNREACHABLE',
      sentence: 'is reached by a pool that has been ended: end it after the app is closed',
    }
  if (/timeout exceeded when trying to connect/.test(message))
    return {
      kind: 'lost',
      code: 'STORE_UNREACHABLE',
      sentence: `answers, but all connections of the pool were in use for too long: raise "size" in the url (${message})`,
    }
  if (lostMessages.test(message)) return unreachable(code, message)
  if (tooLong.test(message))
    return {
      kind: 'refused',
      code: 'TOO_LARGE',
      sentence: `cannot be sent a request of this size: send less at once (${message})`,
    }
  return { kind: 'refused', code: 'STORE_FAILED', sentence: `refused a request: ${message}` }
}

/** Poolers say most of what they have to say with one code, and the rest in words. */
function ofConnection(message: string): Trouble {
  if (/no such (database|user)|does not exist/i.test(message))
    return {
      kind: 'refused',
      code: 'STORE_UNREACHABLE',
      sentence: `is not there under that name: check the database and the user in the url (${message})`,
    }
  if (/authentication failed|auth failed|password/i.test(message))
    return {
      kind: 'refused',
      code: 'STORE_DENIED',
      sentence: `refused the user or the password: check both in the url (${message})`,
    }
  if (/unsupported startup parameter/i.test(message))
    return {
      kind: 'refused',
      code: 'STORE_UNSUITABLE',
      sentence: `is behind a pooler that refuses a setting of the url: leave it out, or name it in ignore_startup_parameters of PgBouncer (${message})`,
    }
  return unreachable('', message)
}

function unreachable(code: string, message: string): Trouble {
  const advice: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'no server answers there: check the host and the port, and that it runs',
    ENOTFOUND: 'there is no host of that name: check the url',
    EAI_AGAIN: 'the name of the host could not be looked up: check the network',
    ENOENT: 'there is no such socket: check the url, and that the server runs',
    EACCES: 'its socket may not be opened by this user',
  }
  const said = advice[code] ?? 'the connection was lost, or could not be made'
  return { kind: 'lost', code: 'STORE_UNREACHABLE', sentence: `cannot be reached: ${said} (${message})` }
}

const ofEncryption = (message: string): Trouble => ({
  kind: 'refused',
  code: 'STORE_UNREACHABLE',
  sentence: `and this process do not agree on encryption: check sslmode and sslrootcert in the url (${message})`,
})

/** The code and the words of whatever was thrown; of several tries to connect, those of the last. */
function told(error: unknown): { code: string; message: string; constraint?: unknown } {
  const said = error instanceof AggregateError && error.errors.length > 0 ? (error.errors.at(-1) as unknown) : error
  if (!(said instanceof Error)) return { code: '', message: String(said) }
  const code = 'code' in said && typeof said.code === 'string' ? said.code : ''
  return {
    code,
    message: said.message.replace(/\.$/, ''),
    constraint: 'constraint' in said ? said.constraint : undefined,
  }
}

// ── what happened to a request ───────────────────────────────────────────────────────────────────────────────────

/** A request that came to nothing; the cause is as the driver gave it. */
export class Failed extends Error {
  /** The request was on its way: it may have been carried out. */
  readonly isSent: boolean
  constructor(cause: unknown, isSent: boolean) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.isSent = isSent
  }
}

/** No answer came in time. */
export class Late extends Error {
  readonly bound: number
  constructor(bound: number) {
    super(`No answer within ${bound} ms`)
    this.bound = Math.round(bound)
  }
}

/** The same request, sent again at once, may well succeed. On a server that is read-only now, another connection may lead to the primary. */
export function isRepeatable(error: unknown): boolean {
  if (!(error instanceof Failed) || error.cause instanceof Late) return false
  const { kind, code } = troubleOf(error.cause)
  return kind !== 'refused' || code === 'STORE_READ_ONLY'
}

/** The connection it was on is of no use any more. */
export function isUseless(error: unknown): boolean {
  if (!(error instanceof Failed)) return false
  if (error.cause instanceof Late) return true
  const { kind, code } = troubleOf(error.cause)
  return kind === 'lost' || code === 'STORE_READ_ONLY'
}

/** @param where the name of the server, without user and password */
export function storeError(trouble: Trouble, where: string, cause: unknown, mayBeStored: boolean): CeleriacError {
  // What the triggers of a store raise that is closed while it is copied, or since: they stand for a sentence of their own.
  const closed = closedBy(told(cause).message)
  if (closed !== null) return closed
  const message = `${where} ${trouble.sentence}.`
  if (trouble.code === 'STORE_UNREACHABLE') return new StoreUnavailable(message, { cause, mayBeStored })
  return new CeleriacError(trouble.code, message, { cause })
}
