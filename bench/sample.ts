import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Case, Figures, Run, Urls } from './case.ts'
import { ContenderProcess } from './contender-process.ts'

/** The samples of each contender, round by round: the same position means the same round. */
export type Samples = Readonly<Record<string, readonly Figures[]>>

export interface Asked {
  readonly quick: boolean
  readonly seconds: number | null
  readonly urls: Urls
}

/** Samples every contender of a case in turn, A B C A B C …, so that whatever slows the machine slows all of them. */
export async function sampleCase(measured: Case, caseFile: string, asked: Asked): Promise<Samples> {
  const folder = await mkdtemp(join(tmpdir(), `celeriac-bench-${measured.name.replace('/', '-')}-`))
  const run: Run = { folder, ...asked }
  const processes = new Map<string, ContenderProcess>()
  try {
    if (measured.prepare) await prepare(caseFile, run)
    for (const name of Object.keys(measured.contenders)) {
      await mkdir(join(run.folder, name), { recursive: true })
      processes.set(name, await ContenderProcess.start(caseFile, name))
    }
    return await inTurn(processes, run, roundsOf(measured, asked.quick))
  } finally {
    await Promise.all([...processes.values()].map((process) => process.stop()))
    await rm(run.folder, { recursive: true, force: true })
  }
}

function roundsOf(measured: Case, quick: boolean): number {
  return quick ? Math.min(measured.rounds, 3) : measured.rounds
}

async function prepare(caseFile: string, run: Run): Promise<void> {
  const process = await ContenderProcess.start(caseFile, 'prepare')
  try {
    await process.sample(run)
  } finally {
    await process.stop()
  }
}

async function inTurn(processes: ReadonlyMap<string, ContenderProcess>, run: Run, rounds: number): Promise<Samples> {
  const samples: Record<string, Figures[]> = {}
  const warmUps = rounds > 1 ? 1 : 0
  for (let round = 0; round < rounds + warmUps; round++) {
    for (const [name, process] of processes) {
      const figures = await process.sample(run)
      if (round >= warmUps) (samples[name] ??= []).push(figures)
    }
  }
  return samples
}
