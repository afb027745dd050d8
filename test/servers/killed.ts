/** Starts a server, tells its address, and waits to be killed. */
import { hire, type Kind } from './hire.ts'

const { url } = await hire(process.argv[2] as Kind)
process.send?.(url)
process.on('message', () => undefined)
