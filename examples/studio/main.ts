// A studio for pictures: a page, a server and two workers, by one command. npm run studio
//
// Its jobs are kept in a folder for temporary files, or wherever CELERIAC_URL says. STUDIO_SLOW=100 makes it work so slowly
// that there is something to watch; PORT says where it listens.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const home = mkdtempSync(join(tmpdir(), 'celeriac-studio-'))
process.env['STUDIO_HOME'] = home
process.env['CELERIAC_URL'] ||= `sqlite:${join(home, 'jobs.db')}`
// Loaded only now: the app in them reads the variables.
const { app } = await import('./tasks.ts')
const { createServer } = await import('./server.ts')

const workers = new Set<ChildProcess>()
let isStopping = false
const server = await createServer()
server.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1')
await once(server, 'listening')
console.log(`The studio is open: http://127.0.0.1:${(server.address() as AddressInfo).port}`)
for (const n of [1, 2]) startWorker(n)
console.log('Kill a worker while it works, and watch the other one take over. Ctrl-C ends it all.')

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())

/** Another one takes the place of one that has died. */
function startWorker(n: number): void {
  const worker = fork(fileURLToPath(new URL('worker.ts', import.meta.url)))
  workers.add(worker)
  console.log(`Worker ${n} is process ${worker.pid}.`)
  worker.once('exit', () => {
    workers.delete(worker)
    if (!isStopping) startWorker(n)
  })
}

async function stop(): Promise<void> {
  isStopping = true
  const exits = [...workers].map((worker) => once(worker, 'exit'))
  for (const worker of workers) worker.disconnect()
  server.close()
  server.closeAllConnections()
  await Promise.all(exits)
  await app.close()
  rmSync(home, { recursive: true, force: true })
}
