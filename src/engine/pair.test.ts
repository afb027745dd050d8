import { expect, test } from 'vitest'
import { Pair } from './pair.ts'
import type { ClaimAnswer, ClaimRequest, SettleAnswer, Settlement } from './work.ts'

const settlement = (ref: string): Settlement => ({ ref, token: 1, outcome: { type: 'succeeded', result: null } })
const request = (token: number): ClaimRequest => ({ session: 's', token, limit: 1, queues: null })
const none: ClaimAnswer = { jobs: [], nextAt: null }

/** A pair, and what it asks of its store. */
function start(fault: Error | null = null) {
  const asked: string[] = []
  const told = <T>(what: string, answer: T): Promise<T> => {
    asked.push(what)
    return fault ? Promise.reject(fault) : Promise.resolve(answer)
  }
  const refs = (settlements: readonly Settlement[]): string => settlements.map(({ ref }) => String(ref)).join(' ')
  const accepted = (settlements: readonly Settlement[]): SettleAnswer[] => settlements.map(() => 'accepted')
  const pair = new Pair({
    mayLetGo: ({ ref }) => ref === 'link',
    settle: (settlements) => told(`settle ${refs(settlements)}`, accepted(settlements)),
    claim: ({ token }) => told(`claim ${token}`, none),
    settleAndClaim: (settlements, { token }) =>
      told(`both ${refs(settlements)}, ${token}`, [accepted(settlements), none] as const),
  })
  return { pair, asked }
}

test('a claim right behind a settlement goes with it, and both are answered', async () => {
  const { pair, asked } = start()
  expect(await Promise.all([pair.settle([settlement('a')]), pair.claim(request(1))])).toEqual([['accepted'], none])
  expect(asked).toEqual(['both a, 1'])
})

test('one that is not right behind it goes by itself, and so does every further one', async () => {
  const { pair, asked } = start()
  await Promise.all([pair.claim(request(1)), pair.settle([settlement('a')])])
  const settling = pair.settle([settlement('b')])
  await Promise.resolve()
  await Promise.all([settling, pair.claim(request(2))])
  await Promise.all([pair.settle([settlement('c')]), pair.claim(request(3)), pair.claim(request(4))])
  await Promise.all([pair.settle([settlement('d')]), pair.settle([settlement('e')]), pair.claim(request(5))])
  expect(asked).toEqual(['claim 1', 'settle a', 'settle b', 'claim 2', 'claim 4', 'both c, 3', 'settle d', 'both e, 5'])
})

test('many jobs alone are settled by themselves, unless something may follow from one', async () => {
  const { pair, asked } = start()
  const many = Array.from({ length: 100 }, () => settlement('a'))
  await Promise.all([pair.settle(many), pair.claim(request(1))])
  await Promise.all([pair.settle([...many, settlement('link')]), pair.claim(request(2))])
  expect(asked.map((what) => what.replace(/ (a )*/, ' '))).toEqual(['settle a', 'claim 1', 'both link, 2'])
})

test('where it fails, both fail', async () => {
  const { pair } = start(new Error('away'))
  const [settled, claimed] = await Promise.allSettled([pair.settle([settlement('a')]), pair.claim(request(1))])
  expect([settled, claimed]).toMatchObject([
    { status: 'rejected', reason: { message: 'away' } },
    { status: 'rejected', reason: { message: 'away' } },
  ])
})
