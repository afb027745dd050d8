/**
 * A worker in a process of its own, for tests that kill or stop it. Says `ready`, works until the parent says `stop` (then
 * `stopped`), and ends with its parent.
 *
 *     node worker-process.ts <url> <lease in ms>
 */
import { Worker } from '../../src/worker/worker.ts'
import { createChaosApp } from './chaos-app.ts'
import { untilStored } from './until-stored.ts'

const [url = '', lease = '2000'] = process.argv.slice(2)
const { app } = createChaosApp({ url })
const notices: string[] = []
const worker = new Worker(app, { concurrency: 5, lease: Number(lease), log: (notice) => notices.push(notice.message) })
process.once('disconnect', () => process.exit(0))
process.on('message', (message) => {
  if (message !== 'stop') return
  void worker
    .stop()
    .then(async () => app.close())
    .then(() => process.send?.({ type: 'stopped', notices }, () => process.exit(0)))
})
await untilStored(() => worker.start())
process.send?.({ type: 'ready' })
