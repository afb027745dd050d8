import type { Outcome } from '../../src/core/outcome.ts'
import { isFinal } from '../../src/core/transitions.ts'
import type { ClaimedJob } from '../../src/engine/work.ts'
import { hand, type Hand, lease } from '../fixtures/hand.ts'
import type { World } from './world.ts'

/** How much goes wrong beside what the tasks do themselves: chances from 0 to 1. */
export interface Troubles {
  /** A settlement is sent twice, or once more when other things have happened. */
  readonly zombies: number
  /** A worker dies with what it holds; at most two, so that no job counts as poisoned. */
  readonly crashes: number
  /** A job is given back or put off instead of being run. */
  readonly returns: number
}
export const calm: Troubles = { zombies: 0, crashes: 0, returns: 0 }

interface Held {
  readonly job: ClaimedJob
  readonly worker: Hand
}

interface Ghost {
  readonly job: ClaimedJob
  readonly outcome: Outcome
}

interface Play {
  readonly world: World
  readonly random: () => number
  readonly troubles: Troubles
  workers: Hand[]
  held: Held[]
  /** Outcomes whose worker has been given up, or which were settled before: to be sent again. */
  ghosts: Ghost[]
  crashCount: number
}

/**
 * Runs a collection until all its jobs are final, by two workers whose steps are drawn by `random`. `meanwhile` is done
 * once, somewhere on the way. Says what it found that must not be.
 */
export async function playOut(
  world: World,
  id: string,
  random: () => number,
  troubles: Troubles,
  meanwhile?: () => Promise<void>,
): Promise<string[]> {
  const play: Play = {
    world,
    random,
    troubles,
    workers: [await hand(world.engine), await hand(world.engine)],
    held: [],
    ghosts: [],
    crashCount: 0,
  }
  const broken: string[] = []
  let act = meanwhile
  for (let step = 0; step < 20_000; step++) {
    if (act && random() < 0.1) {
      await act()
      act = undefined
    }
    const moved = await takeStep(play, broken)
    if (moved) continue
    if (await isOver(world, id)) {
      await act?.()
      for (const ghost of play.ghosts) await haunt(play, ghost, broken)
      for (const worker of play.workers) await worker.beat({ ended: true })
      if (await isOver(world, id)) return broken
      act = undefined
      play.workers = [await hand(world.engine), await hand(world.engine)]
    } else if (!(await letTimePass(play))) return [...broken, 'nothing moves any more']
  }
  return [...broken, 'it does not come to an end']
}

/** One random step. False when there was nothing to do. */
async function takeStep(play: Play, broken: string[]): Promise<boolean> {
  const { random, troubles, workers } = play
  if (random() < troubles.crashes && play.crashCount < 2) await crash(play)
  const ghost =
    play.ghosts.length > 0 && random() < 0.2
      ? play.ghosts.splice(Math.floor(random() * play.ghosts.length), 1)[0]
      : undefined
  if (ghost) await haunt(play, ghost, broken)
  if (play.held.length > 0 && random() < 0.6) {
    await settleOne(play, broken)
    return true
  }
  const worker = workers[Math.floor(random() * workers.length)] as Hand
  const jobs = await worker.claim(1 + Math.floor(random() * 5))
  play.held.push(...jobs.map((job) => ({ job, worker })))
  if (jobs.length > 0) return true
  if (play.held.length === 0) return false
  await settleOne(play, broken)
  return true
}

async function settleOne(play: Play, broken: string[]): Promise<void> {
  const { random, troubles, world } = play
  const [{ job, worker }] = play.held.splice(Math.floor(random() * play.held.length), 1) as [Held]
  const outcome = random() < troubles.returns ? returned(random) : await world.run(job)
  const answer = await worker.settle(job, outcome)
  // It may have been cancelled while time passed: then it was given up after the grace.
  const isGivenUp = answer === 'superseded' && (await world.engine.job(job.id))?.state === 'cancelled'
  if (answer !== 'accepted' && answer !== 'cancelled' && !isGivenUp)
    broken.push(`${job.task} was ${answer} although it was held`)
  if (random() >= troubles.zombies) return
  const again = await worker.settle(job, outcome)
  if (again !== answer) broken.push(`${job.task}: ${outcome.type} was ${answer}, and ${again} when it was sent again`)
  if (random() < 0.5) play.ghosts.push({ job, outcome })
}

function returned(random: () => number): Outcome {
  const dice = random()
  if (dice < 0.3) return { type: 'released', started: false, delay: 0 }
  if (dice < 0.6) return { type: 'released', started: true, delay: dice < 0.4 ? 5 : 0 }
  return { type: 'snoozed', delay: 5 }
}

/** A worker is never heard of again; what it was about to say comes later, from beyond. */
async function crash(play: Play): Promise<void> {
  const { world, random } = play
  play.crashCount++
  const index = Math.floor(random() * play.workers.length)
  const gone = play.workers[index] as Hand
  for (const { job } of play.held.filter(({ worker }) => worker === gone)) {
    play.ghosts.push({
      job,
      outcome: random() < 0.5 ? { type: 'succeeded', result: '"from beyond"' } : await world.run(job),
    })
  }
  play.held = play.held.filter(({ worker }) => worker !== gone)
  for (let passed = 0; passed <= 2 * lease; passed += 4_000) {
    world.clock.pass(4_000)
    for (const worker of play.workers) if (worker !== gone) await worker.beat()
    await world.engine.sweep()
  }
  play.workers[index] = await hand(world.engine)
}

/** An outcome nobody waits for any more. It may be known already; it must not be news. */
async function haunt({ world }: Play, { job, outcome }: Ghost, broken: string[]): Promise<void> {
  const before = await world.engine.job(job.id)
  const [answer] = await world.engine.settle([{ ref: job.ref, token: job.token, outcome }])
  const after = await world.engine.job(job.id)
  if (before?.version !== after?.version)
    broken.push(
      `a late ${outcome.type} of ${job.task} was ${answer}, and changed it from ${before?.state} to ${after?.state}`,
    )
}

async function isOver({ engine }: World, id: string): Promise<boolean> {
  const detail = await engine.collection(id)
  return detail !== null && detail.state !== 'running' && detail.jobs.every((job) => isFinal(job.state))
}

/** On to the next thing that is due. False when there is none. */
async function letTimePass({ world, workers }: Play): Promise<boolean> {
  const { released, nextAt } = await world.engine.sweep()
  if (released > 0) return true
  if (nextAt === null) return false
  world.clock.pass(Math.min(Math.max(nextAt - world.clock.now(), 1), 4_000))
  for (const worker of workers) await worker.beat()
  return true
}
