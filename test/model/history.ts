import type { CollectionDetail } from '../../src/core/collection.ts'
import type { Change, ChangeOfJob } from '../../src/core/event.ts'
import type { AttemptRecord, JobDetail, JobState } from '../../src/core/job.ts'
import { firstStates, isFinal, isLegal } from '../../src/core/transitions.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { changesAfter } from '../fixtures/follow.ts'

/** All that a store kept of some collections: every change in order, and what it says of them now. */
export interface History {
  readonly changes: readonly Change[]
  readonly collections: readonly CollectionDetail[]
  readonly jobs: ReadonlyMap<string, JobDetail>
}

export async function readHistory(engine: Engine, collectionIds: readonly string[], after: string): Promise<History> {
  const collections: CollectionDetail[] = []
  const jobs = new Map<string, JobDetail>()
  for (const id of collectionIds) {
    const detail = await engine.collection(id)
    if (!detail) throw new Error(`Collection ${id} is not there.`)
    collections.push(detail)
    for (const { id: jobId } of detail.jobs) {
      const job = await engine.job(jobId)
      if (job) jobs.set(jobId, job)
    }
  }
  return { changes: await changesAfter(engine, after, collectionIds, 1_000), collections, jobs }
}

/** The rules that a history breaks, in words; none when all is well. Everything is expected to be settled. */
export function brokenRules(history: History): string[] {
  return [...brokenByChanges(history), ...brokenByRecords(history)]
}

// ── what happened, in order ──────────────────────────────────────────────────────────────────────────────────────

interface Seen {
  readonly state: JobState
  readonly version: number
  readonly attempt: number
  /** How many times it became final, and how many times it was let go from behind what it waits for. */
  readonly ends: number
  readonly releases: number
}
const unseen: Seen = { state: 'waiting', version: 1, attempt: 0, ends: 0, releases: 0 }

function brokenByChanges({ changes, collections, jobs }: History): string[] {
  const broken: string[] = []
  const seen = new Map<string, Seen>()
  const rounds = new Map<string, number>()
  const settled = new Set<string>()
  for (const change of changes) {
    if (change.type === 'job') broken.push(...checkStep(change, seen, jobs, rounds.get(change.collectionId) ?? 1))
    if (change.type !== 'collection') continue
    const round = `${change.collectionId} in round ${change.round}`
    if (change.round < (rounds.get(change.collectionId) ?? 1)) broken.push(`collection ${round} after a later one`)
    rounds.set(change.collectionId, change.round)
    if (change.state === 'running') continue
    if (settled.has(round)) broken.push(`collection ${round} settled twice`)
    settled.add(round)
  }
  for (const { id, round, jobs: members } of collections) {
    if (members.length > 1 && !settled.has(`${id} in round ${round}`))
      broken.push(`collection ${id} never settled in round ${round}`)
    for (const job of members) {
      const last = seen.get(job.id) ?? unseen
      if (last.state !== job.state || last.version !== job.version) {
        broken.push(
          `job ${job.id} is ${job.state} (version ${job.version}), its last change says ${last.state} (version ${last.version})`,
        )
      }
    }
  }
  return broken
}

function checkStep(change: ChangeOfJob, seen: Map<string, Seen>, jobs: History['jobs'], round: number): string[] {
  const broken: string[] = []
  const before = seen.get(change.jobId)
  const { state, version, ends, releases } = before ?? unseen
  const say = (what: string): void =>
    void broken.push(`job ${change.jobId} ${what}: ${state} (${version}) → ${change.state} (${change.version})`)
  if (before === undefined && change.version === 1) {
    if (!firstStates.includes(change.state)) say('begins in a state that none begins in')
  } else {
    if (change.version !== version + 1) say('left out or repeated a change')
    // What still waits when its collection is retried is told to wait in the next round.
    const isKept = state === 'waiting' && change.state === 'waiting'
    if (!isKept && !isLegal(state, change.state)) say('made a step that there is not')
  }
  const isReleased = state === 'waiting' && (change.state === 'queued' || change.state === 'scheduled')
  const next = {
    state: change.state,
    version: change.version,
    attempt: change.attempt,
    ends: ends + (isEnd(change, jobs) ? 1 : 0),
    releases: releases + (isReleased ? 1 : 0),
  }
  seen.set(change.jobId, next)
  if (next.ends > round) say(`ended ${next.ends} times in ${round} rounds`)
  if (next.releases > round && jobs.get(change.jobId)?.role === 'main')
    say(`was let go ${next.releases} times in ${round} rounds`)
  if (change.attempt < (before?.attempt ?? 0) && change.state !== 'queued' && change.state !== 'scheduled')
    say('counts attempts back')
  if (change.state === 'running') broken.push(...startedTooEarly(change.jobId, seen, jobs))
  return broken
}

/** A side branch that did not succeed may be retried by itself, which begins no round. */
const isEnd = (change: ChangeOfJob, jobs: History['jobs']): boolean =>
  jobs.get(change.jobId)?.role === 'main' ? isFinal(change.state) : change.state === 'succeeded'

/** When a job starts, all that it waits for has ended. */
function startedTooEarly(id: string, seen: ReadonlyMap<string, Seen>, jobs: History['jobs']): string[] {
  const job = jobs.get(id)
  const open = (job?.after ?? []).filter((before) => {
    const state = seen.get(before)?.state ?? 'waiting'
    return job?.role === 'main' ? state !== 'succeeded' : !isFinal(state)
  })
  return open.map(
    (before) => `job ${id} started while ${before}, which it waits for, is ${seen.get(before)?.state ?? 'waiting'}`,
  )
}

// ── what is told now ─────────────────────────────────────────────────────────────────────────────────────────────

function brokenByRecords({ collections, jobs }: History): string[] {
  const broken: string[] = []
  for (const collection of collections) {
    if (collection.state === 'running' || collection.settledAt === null)
      broken.push(`collection ${collection.id} is not settled`)
    const main = collection.jobs.filter((job) => job.role === 'main' && job.parentId === null)
    if (collection.state === 'succeeded' && main.some((job) => job.state === 'failed')) {
      broken.push(`collection ${collection.id} succeeded although a job of it failed`)
    }
    if (collection.state === 'failed' && collection.failure === null)
      broken.push(`collection ${collection.id} failed for no reason`)
    for (const { id } of collection.jobs) {
      const job = jobs.get(id)
      if (job === undefined) broken.push(`job ${id} is not there`)
      else broken.push(...checkRecord(job), ...checkAttempts(job))
    }
  }
  return broken
}

function checkRecord(job: JobDetail): string[] {
  const broken: string[] = []
  if (!isFinal(job.state)) broken.push(`job ${job.id} (${job.task}) is still ${job.state}`)
  if (job.state === 'succeeded' && job.result === null) broken.push(`job ${job.id} succeeded without a result`)
  if (job.state !== 'succeeded' && job.result !== null) broken.push(`job ${job.id} is ${job.state} and has a result`)
  if (job.state === 'failed' && job.failure === null) broken.push(`job ${job.id} failed for no reason`)
  if (job.finishedAt === null) broken.push(`job ${job.id} is ${job.state} and did not finish at any time`)
  return broken
}

/** Attempts that ended a job for its round, or handed it over to a canvas. */
const conclusive: readonly AttemptRecord['outcome'][] = ['succeeded', 'failed', 'continued']

function checkAttempts({ id, role, state, attempt, attempts }: JobDetail): string[] {
  const broken: string[] = []
  const numbers = attempts.map((each) => each.attempt)
  if (numbers.some((number, index) => number !== index + 1))
    broken.push(`job ${id} counts its attempts ${numbers.join(', ')}`)
  if (attempts.length !== attempt) broken.push(`job ${id} is at attempt ${attempt} and remembers ${attempts.length}`)
  const ended = new Map<number, number>()
  for (const each of attempts) {
    if (each.outcome === 'running' || each.finishedAt === null) broken.push(`job ${id} has an attempt that never ended`)
    if (role === 'main' ? conclusive.includes(each.outcome) : each.outcome === 'succeeded')
      ended.set(each.round, (ended.get(each.round) ?? 0) + 1)
  }
  for (const [round, count] of ended)
    if (count > 1) broken.push(`job ${id} was decided ${count} times in round ${round}`)
  if (state === 'succeeded' && !attempts.some((each) => each.outcome === 'succeeded' || each.outcome === 'continued')) {
    broken.push(`job ${id} succeeded without an attempt that did`)
  }
  return broken
}
