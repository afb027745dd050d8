import type { ClaimAnswer, ClaimRequest, SettleAnswer, Settlement, Work } from './work.ts'

export interface PairParts extends Pick<Work, 'settle' | 'claim'> {
  /** Both, the settlements first, or neither. */
  settleAndClaim(
    settlements: readonly Settlement[],
    request: ClaimRequest,
  ): Promise<readonly [answers: SettleAnswer[], claimed: ClaimAnswer]>
  /** May anything follow from it? Of jobs alone nothing does. */
  mayLetGo(settlement: Settlement): boolean
}

/** With so many jobs alone two requests are quicker: the server claims while this process reads what it settled. */
const manyAlone = 100

/**
 * A claim made right behind a settlement, before anything else happens, goes to the server with it: what the settlements let
 * go need not come into its queue, and one request does for two. Where it fails both calls do, and each is repeated by
 * whoever made it.
 */
export class Pair implements Pick<Work, 'settle' | 'claim'> {
  readonly #parts: PairParts
  /** Settlements that go at the end of this step, alone or with the claim that comes before. */
  #next: { readonly settlements: readonly Settlement[]; claim: Claim | null } | null = null

  constructor(parts: PairParts) {
    this.#parts = parts
  }

  async settle(settlements: readonly Settlement[]): Promise<SettleAnswer[]> {
    if (settlements.length >= manyAlone && !settlements.some(this.#parts.mayLetGo))
      return this.#parts.settle(settlements)
    const next = (this.#next = { settlements, claim: null as Claim | null })
    await Promise.resolve()
    if (this.#next === next) this.#next = null
    const { claim } = next
    if (claim === null) return this.#parts.settle(settlements)
    const both = this.#parts.settleAndClaim(settlements, claim.request)
    claim.answer.resolve(both.then(([, claimed]) => claimed))
    return (await both)[0]
  }

  claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const next = this.#next
    if (next === null) return this.#parts.claim(request)
    this.#next = null
    next.claim = { request, answer: Promise.withResolvers<ClaimAnswer>() }
    return next.claim.answer.promise
  }
}

interface Claim {
  readonly request: ClaimRequest
  readonly answer: PromiseWithResolvers<ClaimAnswer>
}
