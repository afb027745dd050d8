// A worker of graphile-worker in a process of its own, that tells when its handler begins.
import { startGraphile } from '../peers/graphile.ts'
import type { Told } from './celeriac-worker.ts'

const [url = ''] = process.argv.slice(2)
const tell = (told: Told): void => void process.send?.(told)

tell({ type: 'ready' })
process.once('message', () => void work())

async function work(): Promise<void> {
  const worker = await startGraphile(url, 'plain', () =>
    tell({ type: 'began', at: performance.timeOrigin + performance.now() }),
  )
  process.once('message', () => void worker.stop().then(() => process.exit()))
}
