/**
 * A worker in a process that ends itself, by SIGKILL, at its n-th call to the store: before the call arrives or after it
 * was done. Its clock runs `factor` times as fast since `origin`, as that of the test does.
 *
 *     node crashing-process.ts <engine name> <url> <n> <before|after> <factor> <origin>
 */
import { Worker } from '../../src/worker/worker.ts'
import { connectTo } from '../engines.ts'
import { hurriedRuntime } from '../fixtures/hurried.ts'
import { createChaosApp } from './chaos-app.ts'
import { type Fault, faulty } from './faulty.ts'

const [name = '', url = '', number, fault, factor, origin] = process.argv.slice(2)
const runtime = hurriedRuntime(Number(factor), Number(origin))
const strike = (): never => {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('It is over.')
}
const faults = { number: Number(number), fault: fault as Fault, count: 0, strike }
const { app } = createChaosApp({ runtime, engine: (own) => faulty(connectTo(name, url)(own), own, faults) })
process.once('disconnect', () => process.exit(0))
await new Worker(app, { lease: '6s', log: () => {} }).start()
