// A worker of BullMQ in a process of its own, that tells when its handler begins.
import { createWorker } from '../peers/bullmq.ts'
import type { Told } from './celeriac-worker.ts'

const [url = ''] = process.argv.slice(2)
const tell = (told: Told): void => void process.send?.(told)

tell({ type: 'ready' })
process.once('message', () => void work())

async function work(): Promise<void> {
  const worker = await createWorker(url, async () =>
    tell({ type: 'began', at: performance.timeOrigin + performance.now() }),
  )
  void worker.run()
  process.once('message', () => void worker.close().then(() => process.exit()))
}
