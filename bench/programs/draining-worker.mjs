// A worker as a user would write it, in plain JavaScript so that no TypeScript loader is counted. Tells its peak of memory.
import { Celeriac } from 'celeriac'
import { Worker } from 'celeriac/worker'

const [url, expected] = process.argv.slice(2)
const app = new Celeriac({ url })
let left = Number(expected)
const drained = new Promise((resolve) => {
  app.task('bench.add', (x, y) => {
    if (--left === 0) resolve()
    return x + y
  })
})

const worker = new Worker(app)
await worker.start()
await drained
await worker.stop()
await app.close()
process.send({ megabytes: process.resourceUsage().maxRSS / 1024 })
