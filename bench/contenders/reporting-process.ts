// Another process on the same store: works on one job that tells how far it is, and when it said so.
import { setTimeout as wait } from 'node:timers/promises'
import { currentJob } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { withBench } from './celeriac.ts'

const [url = ''] = process.argv.slice(2)

await withBench(url, async ({ app }) => {
  app.task('bench.report', async (count: number) => {
    for (let done = 1; done <= count; done++) {
      // No beat: what is told falls anywhere between two looks of the reader.
      await wait(60 + Math.random() * 60)
      currentJob().progress(done, count, String(performance.timeOrigin + performance.now()))
    }
    return count
  })
  const worker = new Worker(app)
  await worker.start()
  await new Promise((resolve) => process.once('message', resolve))
  await worker.stop()
})
