// `npm run bench`: measures, prints a table, writes results.json. It is not a test: a missed target is printed, no error.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Case } from './case.ts'
import { sentence, thisMachine } from './machine.ts'
import { installPeers } from './peers.ts'
import { sampleCase, type Samples } from './sample.ts'
import { table } from './table.ts'
import { judge, type Verdict } from './verdict.ts'
import { writeTable } from './write-table.ts'

const caseNames = [
  'drain',
  'delay-many',
  'delay-concurrent',
  'delay-sequential',
  'chain',
  'full-file',
  'latency',
  'chord',
  'idle',
  'memory',
  'progress',
  'pauses',
  'durability',
]
const usage = `npm run bench -- [options]

  --quick         smaller numbers and fewer rounds, for a look in between
  --only <name>   one case; may be repeated: ${caseNames.slice(0, 6).join(', ')},
                  ${caseNames.slice(6).join(', ')}
  --write         puts the table into docs/performance.md`

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (options.help) {
  console.log(usage)
} else {
  await bench()
}

async function bench(): Promise<void> {
  const names = chosen()
  installPeers()
  const measurements: { name: string; samples: Samples; verdicts: Verdict[] }[] = []
  for (const name of names) {
    process.stderr.write(`${name} … `)
    const startedAt = performance.now()
    measurements.push({ name, ...(await measure(name)) })
    process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`)
  }
  report(measurements)
}

function chosen(): readonly string[] {
  const unknown = options.only?.find((name) => !caseNames.includes(name))
  if (unknown !== undefined) throw new Error(`there is no case ${unknown}; there are: ${caseNames.join(', ')}`)
  return caseNames.filter((name) => options.only?.includes(name) ?? true)
}

async function measure(name: string): Promise<{ samples: Samples; verdicts: Verdict[] }> {
  const file = fileURLToPath(new URL(`cases/${name}.ts`, import.meta.url))
  const { measured } = (await import(file)) as { measured: Case }
  const samples = await sampleCase(measured, file, options.quick)
  return { samples, verdicts: judge(measured, samples) }
}

function report(measurements: readonly { name: string; samples: Samples; verdicts: Verdict[] }[]): void {
  const machine = thisMachine()
  const verdicts = measurements.flatMap((measurement) => measurement.verdicts)
  const text = `${table(verdicts)}\n\n${sentence(machine)}${options.quick ? '\n--quick: smaller numbers' : ''}`
  const results = {
    machine,
    quick: options.quick,
    verdicts,
    samples: measurements.map(({ name, samples }) => ({ name, samples })),
  }
  writeFileSync(new URL('results.json', import.meta.url), `${JSON.stringify(results, null, 2)}\n`)
  console.log(`\n${text}`)
  if (options.write) writeTable(text)
}
