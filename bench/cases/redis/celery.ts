import type { Case, Figures, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { added, celeriacLatency, chained, chordOf, drained } from '../../contenders/on-server.ts'
import { measureCelery, settings, type Measurement, type Setting } from '../../peers/celery.ts'

const members = 2_000

export const measured: Case = {
  name: 'redis/celery',
  needs: ['redis'],
  rounds: 2,
  contenders: {
    celery: (run) =>
      each({
        drain: () => best(run, 'highest', 'drain', jobs(run)),
        bulk: () => best(run, 'highest', 'bulk', jobs(run)),
        chains: () => best(run, 'highest', 'chains', jobs(run)),
        chord: () => best(run, 'lowest', 'chord', members),
        latency: () => best(run, 'lowest', 'latency', 200),
      }),
    celeriac: (run) =>
      each({
        drain: () => withKeyspace(run, async (url) => rateOf(await drained(url, jobs(run) * 10))),
        bulk: () => withKeyspace(run, async (url) => rateOf(await added(url, jobs(run) * 10))),
        chains: () => withKeyspace(run, async (url) => rateOf(await chained(url, jobs(run) * 5))),
        chord: () => withKeyspace(run, async (url) => (await chordOf(url, members))['seconds'] ?? Number.NaN),
        latency: () => withKeyspace(run, async (url) => (await celeriacLatency(url, 200))['p50'] ?? Number.NaN),
      }),
  },
  lines: [
    { section: 'celery', label: 'drain, jobs/s', figure: 'celeriac.drain', beside: 'celery.drain', ...atLeast(20) },
    {
      section: 'celery',
      label: 'delayMany / delay, jobs/s',
      figure: 'celeriac.bulk',
      beside: 'celery.bulk',
      ...atLeast(20),
    },
    {
      section: 'celery',
      label: 'links of chains, jobs/s',
      figure: 'celeriac.chains',
      beside: 'celery.chains',
      ...atLeast(20),
    },
    {
      section: 'celery',
      label: 'chord of 2,000, s',
      figure: 'celeriac.chord',
      beside: 'celery.chord',
      decimals: 3,
      target: { type: 'share', atMost: 0.05 },
    },
    {
      section: 'celery',
      label: 'add to start, p50, ms',
      figure: 'celeriac.latency',
      beside: 'celery.latency',
      decimals: 2,
    },
  ],
}

function atLeast(times: number) {
  return { target: { type: 'ratio', atLeast: times } } as const
}

/** One after the other, each where nothing is yet. */
async function each(figures: Readonly<Record<string, () => Promise<number>>>): Promise<Figures> {
  const measured: Record<string, number> = {}
  for (const [name, measure] of Object.entries(figures)) measured[name] = await measure()
  return measured
}

type Better = 'highest' | 'lowest'

/** The setting that suits each measurement best, found in the first round, which is a warm-up. */
const found = new Map<Measurement, Setting>()

async function best(run: Run, better: Better, measurement: Measurement, count: number): Promise<number> {
  const measure = (setting: Setting): Promise<number> =>
    withKeyspace(run, async (url) => measureCelery(url, measurement, count, setting))
  const known = found.get(measurement)
  if (known !== undefined) return measure(known)
  const tried: [Setting, number][] = []
  for (const setting of settings) tried.push([setting, await measure(setting)])
  const [setting, figure] = tried.reduce((one, other) => (isBetter(better, other[1], one[1]) ? other : one))
  found.set(measurement, setting)
  return figure
}

const isBetter = (better: Better, one: number, other: number): boolean =>
  better === 'highest' ? one > other : one < other

const rateOf = (figures: Figures): number => figures['rate'] ?? Number.NaN

function jobs({ quick }: Run): number {
  return quick ? 1_000 : 4_000
}
