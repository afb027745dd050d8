// A worker in a process of its own whose jobs take 20 ms each, one after the other.
import { setTimeout as wait } from 'node:timers/promises'
import { Celeriac } from 'celeriac'
import { Worker } from 'celeriac/worker'

const [url = ''] = process.argv.slice(2)
const app = new Celeriac({ url })
app.task('bench.tick', () => wait(19))
const worker = new Worker(app, { concurrency: 1 })
await worker.start()
process.once('message', () => {
  void worker
    .stop()
    .then(() => app.close())
    .then(() => process.disconnect())
})
