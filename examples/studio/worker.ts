// One worker, in a process of its own. It ends with the process that started it.
import { Worker } from 'celeriac/worker'
import { app } from './tasks.ts'

// So short that whoever kills one sees soon what becomes of its jobs.
const worker = new Worker(app, { concurrency: 2, lease: '3s' })
process.once('disconnect', () => {
  void worker.stop({ grace: 0 }).then(() => app.close())
})
process.on('SIGINT', () => {})
await worker.start()
