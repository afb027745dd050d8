import { CeleriacError, type ErrorCode } from '../../core/errors.ts'
import { closedBy } from '../../engine/transfer.ts'

/**
 * Is this what the server said, rather than a failure on the way to it? Known by its first word, for the class comes from
 * whichever copy of the driver a client was made by.
 */
export function isReply(error: unknown): error is Error {
  return error instanceof Error && /^[A-Z][A-Z0-9]+ /.test(error.message)
}

/**
 * `later`: the same call may do in a moment. `elsewhere`: so it may, on a new connection, for the primary has moved.
 * `refused`: asking again is no use.
 */
type Meaning = 'later' | 'elsewhere' | 'refused'

interface Known {
  readonly meaning: Meaning
  readonly code: ErrorCode
  /** What is wrong, and what to do: behind "The Redis server at …". */
  readonly sentence: string
}

/** What the first word of an error says: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */
const known: Readonly<Record<string, Known>> = {
  WRONGPASS: {
    meaning: 'refused',
    code: 'STORE_DENIED',
    sentence: 'refused the user or the password: correct them in the url',
  },
  NOAUTH: { meaning: 'refused', code: 'STORE_DENIED', sentence: 'asks for a password: put one into the url' },
  NOPERM: {
    meaning: 'refused',
    code: 'STORE_DENIED',
    sentence:
      'does not allow this to the user: grant it +@read +@write +@scripting +@pubsub +@connection +info +time, on the keys and channels of the namespace',
  },
  DENIED: {
    meaning: 'refused',
    code: 'STORE_DENIED',
    sentence: 'takes nobody from another machine: set a password there, or turn its protected mode off',
  },
  READONLY: {
    meaning: 'elsewhere',
    code: 'STORE_READ_ONLY',
    sentence: 'is a replica, which cannot be written: give the address of the primary',
  },
  OOM: {
    meaning: 'refused',
    code: 'STORE_FULL',
    sentence: 'has used all its memory; nothing was stored: give it more (maxmemory), workers go on by themselves',
  },
  MISCONF: {
    meaning: 'refused',
    code: 'STORE_FULL',
    sentence: 'cannot save to its disk and takes no more; nothing was stored: make room there and look into its log',
  },
  LOADING: { meaning: 'later', code: 'STORE_BUSY', sentence: 'is still loading its data: try again in a while' },
  BUSY: {
    meaning: 'later',
    code: 'STORE_BUSY',
    sentence: 'runs a script that does not come to an end: see whose it is, and end it with SCRIPT KILL',
  },
  TRYAGAIN: { meaning: 'later', code: 'STORE_BUSY', sentence: 'is moving its keys to another: try again in a while' },
  NOREPLICAS: {
    meaning: 'later',
    code: 'STORE_BUSY',
    sentence: 'has too few replicas to write (min-replicas-to-write): see that they run',
  },
  MASTERDOWN: {
    meaning: 'elsewhere',
    code: 'STORE_READ_ONLY',
    sentence: 'is a replica that has lost its primary: give the address of the primary',
  },
  CLUSTERDOWN: {
    meaning: 'later',
    code: 'STORE_BUSY',
    sentence: 'belongs to a cluster that is down: see to its nodes',
  },
  MOVED: {
    meaning: 'refused',
    code: 'STORE_UNSUITABLE',
    sentence:
      'is one of a cluster, and another one of it has these keys: give redis({ client: () => createCluster(…) }) instead of a url',
  },
  CROSSSLOT: { meaning: 'refused', code: 'STORE_FAILED', sentence: 'keeps keys of one namespace apart' },
}

/** Errors without a word of their own, by how they read. */
const worded: readonly (readonly [RegExp, Known])[] = [
  [/ACL failure in script|the user executing the script can't/i, known['NOPERM'] as Known],
  [
    /DB index is out of range|invalid DB index|SELECT is not allowed/i,
    {
      meaning: 'refused',
      code: 'STORE_UNSUITABLE',
      sentence: 'has no database of this number: name another one behind the host of the url, such as /0',
    },
  ],
  [
    /max number of clients/i,
    { meaning: 'later', code: 'STORE_BUSY', sentence: 'has as many clients as it takes (maxclients): raise that' },
  ],
  [
    /AUTH.*without any password configured/i,
    { meaning: 'refused', code: 'STORE_DENIED', sentence: 'has no password, but the url has: leave it out' },
  ],
]

function find({ message }: Error): Known | undefined {
  const word = message.slice(0, message.indexOf(' '))
  return Object.hasOwn(known, word) ? known[word] : worded.find(([pattern]) => pattern.test(message))?.[1]
}

export const meaningOf = (error: Error): Meaning => find(error)?.meaning ?? 'refused'

/** An error of the server as one of ours; any other as it is. */
export function replyError(error: unknown, place: string): unknown {
  if (error instanceof CeleriacError || !isReply(error)) return error
  const closed = closedBy(error.message)
  if (closed !== null) return closed
  const { code, sentence } = find(error) ?? { code: 'STORE_FAILED' as const, sentence: 'refused a request' }
  // Which line of which script it was helps nobody but us, and we have the cause.
  const said = error.message.replace(/ script: [0-9a-f]{40}, on .*$/s, '').slice(0, 300)
  return new CeleriacError(code, `The Redis server ${place} ${sentence} (${said}).`, { cause: error })
}

/** A request that does not fit into one command: the driver refused to write it. */
export const tooLarge = (cause: Error): CeleriacError =>
  new CeleriacError(
    'TOO_LARGE',
    `The request is too large for one command of Redis (${cause.message}): send less at once.`,
    {
      cause,
    },
  )
