// Another process on the same file: drains one queue until it is killed.
import { Worker } from 'celeriac/worker'
import { fileUrl, withBench } from './celeriac.ts'

const [path = '', queue = ''] = process.argv.slice(2)

await withBench(fileUrl(path, 'fast'), async ({ app, called }) => {
  const first = called(1)
  const worker = new Worker(app, { queues: [queue], concurrency: 100 })
  await worker.start()
  await first
  process.send?.('busy')
  await new Promise(() => setInterval(() => {}, 60_000))
})
