import { chain } from 'celeriac'
import { Worker } from 'celeriac/worker'
import type { Case, Figures, Run } from '../../case.ts'
import { drain, fill, withFreshBench, type Bench } from '../../contenders/celeriac.ts'
import { timed } from '../../timed.ts'

const linksPerChain = 20

export const measured: Case = {
  name: 'sqlite/chain',
  rounds: 5,
  contenders: {
    drain: (run) =>
      withFreshBench(run, 'fast', async (bench) => {
        const handles = await fill(bench.add, links(run))
        return { rate: (links(run) / (await drain(bench, links(run), handles))) * 1000 }
      }),
    chains: manyChains,
    long: oneLongChain,
  },
  lines: [
    {
      section: 'sqlite itself',
      label: 'links of chains / drain, jobs/s',
      figure: 'chains.rate',
      beside: 'drain.rate',
      target: { type: 'ratio', atLeast: 0.5 },
    },
    { section: 'sqlite itself', label: '  of one chain alone', figure: 'long.rate', beside: 'drain.rate' },
  ],
}

/** Many chains that are under way together. */
function manyChains(run: Run): Promise<Figures> {
  return withFreshBench(run, 'fast', async (bench) => {
    const chains = Array.from({ length: links(run) / linksPerChain }, () => chainOf(bench, linksPerChain))
    const handles = []
    for (let sent = 0; sent < chains.length; sent += 50) {
      handles.push(...(await bench.app.submitMany(chains.slice(sent, sent + 50))))
    }
    return { rate: (links(run) / (await drain(bench, links(run), handles.slice(-100)))) * 1000 }
  })
}

/** Nothing to do side by side: each link is claimed, run and settled alone. */
function oneLongChain(run: Run): Promise<Figures> {
  return withFreshBench(run, 'fast', async (bench) => {
    const handle = await bench.app.submit(chainOf(bench, 1000))
    const worker = new Worker(bench.app)
    const figures = await timed(1000, async () => {
      await worker.start()
      await handle.result()
    })
    await worker.stop()
    return figures
  })
}

function chainOf({ add }: Bench, length: number) {
  return chain(add.s(0, 1), ...Array.from({ length: length - 1 }, () => add.s(1)))
}

function links({ quick }: Run): number {
  return quick ? 10_000 : 40_000
}
