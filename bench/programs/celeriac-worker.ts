// A worker in a process of its own, as a user writes one. Starts and stops when told to, and tells what its handlers do.
import { Celeriac, currentJob } from 'celeriac'
import { Worker } from 'celeriac/worker'

/** What the process that started this one is told. */
export type Told =
  | { readonly type: 'ready' }
  /** How many jobs have been run since this was told last. */
  | { readonly type: 'ran'; readonly count: number }
  | { readonly type: 'began' | 'aborted'; readonly at: number }

const tellEvery = 5

const [url = ''] = process.argv.slice(2)
const app = new Celeriac({ url })
const worker = new Worker(app)
let count = 0

app.task('bench.add', (x: number, y: number) => {
  if (count++ === 0) setTimeout(tellCount, tellEvery)
  return x + y
})
app.task('bench.mark', () => tell({ type: 'began', at: now() }))
/** Goes on until it is told to stop. */
app.task('bench.hold', async () => {
  const { signal } = currentJob()
  tell({ type: 'began', at: now() })
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  tell({ type: 'aborted', at: now() })
})

process.on('message', (order) => void obey(order as 'start' | 'stop'))
await app.queues.list()
tell({ type: 'ready' })

async function obey(order: 'start' | 'stop'): Promise<void> {
  if (order === 'start') return worker.start()
  await worker.stop()
  await app.close()
  process.disconnect()
}

function tellCount(): void {
  const ran = count
  count = 0
  tell({ type: 'ran', count: ran })
}

function tell(what: Told): void {
  process.send?.(what)
}

/** By a clock that all processes share. */
function now(): number {
  return performance.timeOrigin + performance.now()
}
