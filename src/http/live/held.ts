import type { Holding } from '../../app/events.ts'
import { credentialOf, type Identity } from '../identity.ts'
import { RequestError } from '../problem.ts'

/** How many WebSockets one credential has open at once. */
const mostLines = 1_000
/** How many jobs all that one credential follows has in all: each following remembers what it told of each of its jobs. */
const mostJobs = 1_000_000
/** A following counts as so many jobs at least, on a line, … */
const leastOnLine = 100
/** … and as a stream, which is a connection of its own. */
const leastAsStream = 1_000

interface Sum {
  lines: number
  jobs: number
  followings: number
}

/** Bounds what each credential has this process hold while it follows, over all its lines and streams. */
export class Held {
  readonly #sums = new Map<string, Sum>()

  /**
   * One more line. What is returned ends it.
   *
   * @throws RequestError TOO_MANY_REQUESTS
   */
  line(identity: Identity): () => void {
    const credential = credentialOf(identity)
    const sum = this.#sumOf(credential)
    if (sum.lines >= mostLines)
      throw tooMany(`${mostLines} WebSockets of this key or token are open here already: close some first.`)
    sum.lines++
    return () => {
      sum.lines--
      this.#forget(credential, sum)
    }
  }

  /** One more following: on a line, or as a stream of its own. @throws RequestError TOO_MANY_REQUESTS, as `weigh` does */
  following(identity: Identity, where: 'line' | 'stream'): Holding {
    const credential = credentialOf(identity)
    const sum = this.#sumOf(credential)
    const least = where === 'line' ? leastOnLine : leastAsStream
    let own = 0
    const weigh = (jobs: number): void => {
      const more = Math.max(jobs, least) - own
      if (more > 0 && sum.jobs + more > mostJobs) throw tooMuch()
      sum.jobs += more
      own += more
    }
    weigh(least)
    sum.followings++
    return {
      weigh,
      end: () => {
        sum.jobs -= own
        sum.followings--
        this.#forget(credential, sum)
      },
    }
  }

  #sumOf(credential: string): Sum {
    let sum = this.#sums.get(credential)
    if (sum === undefined) this.#sums.set(credential, (sum = { lines: 0, jobs: 0, followings: 0 }))
    return sum
  }

  #forget(credential: string, { lines, followings }: Sum): void {
    if (lines === 0 && followings === 0) this.#sums.delete(credential)
  }
}

const tooMany = (why: string): RequestError =>
  new RequestError('TOO_MANY_REQUESTS', why, { headers: { 'retry-after': '5' } })

const tooMuch = (): RequestError =>
  tooMany(
    `What is followed with this key or token would have more than ${mostJobs} jobs in all; a following counts as ${leastOnLine} at least, a stream as ${leastAsStream}. Follow less, or single jobs.`,
  )
