// `npm run bench`: measures, prints a table, writes results.json. It is not a test: a missed target is printed, no error.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Case } from './case.ts'
import { sentence, thisMachine, type Machine } from './machine.ts'
import { installPeers } from './peers.ts'
import { sampleCase, type Samples } from './sample.ts'
import { Servers } from './servers.ts'
import { table } from './table.ts'
import { judge, type Verdict } from './verdict.ts'
import { writeTable } from './write-table.ts'

const caseNames = [
  ...[
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
    'queues',
    'durability',
    'retention',
  ].map((name) => `sqlite/${name}`),
  ...[
    'drain',
    'processes',
    'delay-many',
    'latency',
    'chain',
    'chord',
    'depth',
    'queues',
    'transaction',
    'remote',
    'crash',
    'floor',
    'retention',
  ].map((name) => `postgres/${name}`),
  ...[
    'drain',
    'processes',
    'delay-many',
    'latency',
    'chain',
    'chord',
    'depth',
    'queues',
    'celery',
    'remote',
    'crash',
    'floor',
    'retention',
  ].map((name) => `redis/${name}`),
  ...['submit', 'read', 'followers', 'progress', 'fan-out'].map((name) => `http/${name}`),
]
const usage = `npm run bench -- [options]

  --quick         smaller numbers and fewer rounds, for a look in between
  --only <name>   one case, such as postgres/drain, or all of a store; may be repeated. There are:
${['sqlite', 'postgres', 'redis', 'http'].map((store) => `                  ${store}/ ${casesOf(store).join(', ')}`).join('\n')}
  --seconds <n>   how long the cases called retention keep up their load: 60; 600 shows that a store stays as large as it is
  --write         puts the table into docs/performance.md`

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    seconds: { type: 'string' },
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

interface Measurement {
  readonly name: string
  readonly samples: Samples
  readonly verdicts: readonly Verdict[]
}

async function bench(): Promise<void> {
  const names = chosen()
  installPeers()
  const servers = new Servers()
  try {
    const measurements: Measurement[] = []
    for (const name of names) {
      process.stderr.write(`${name} … `)
      const startedAt = performance.now()
      measurements.push(await measure(name, servers))
      process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`)
    }
    report(measurements, await thisMachine(await servers.urlsFor([])))
  } finally {
    await servers.stop()
  }
}

function casesOf(store: string): string[] {
  return caseNames.filter((name) => name.startsWith(`${store}/`)).map((name) => name.slice(store.length + 1))
}

function chosen(): readonly string[] {
  const isOf = (name: string, asked: string): boolean => name === asked || name.startsWith(`${asked}/`)
  const unknown = options.only?.find((asked) => !caseNames.some((name) => isOf(name, asked)))
  if (unknown !== undefined) throw new Error(`there is no case ${unknown}; there are: ${caseNames.join(', ')}`)
  return caseNames.filter((name) => options.only?.some((asked) => isOf(name, asked)) ?? true)
}

async function measure(name: string, servers: Servers): Promise<Measurement> {
  const file = fileURLToPath(new URL(`cases/${name}.ts`, import.meta.url))
  const { measured } = (await import(file)) as { measured: Case }
  const urls = await servers.urlsFor(measured.needs ?? [])
  const samples = await sampleCase(measured, file, {
    quick: options.quick,
    seconds: options.seconds === undefined ? null : Number(options.seconds),
    urls,
  })
  return { name, samples, verdicts: judge(measured, samples) }
}

function report(measurements: readonly Measurement[], machine: Machine): void {
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
