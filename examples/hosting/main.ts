// Backs up a folder, restores it elsewhere and compares the two, though the storage it needs is down at first:
//   node examples/hosting/main.ts [folder]
// Its jobs are kept in a file of their own, or wherever CELERIAC_URL says.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'celeriac/worker'
import { formatBytes } from './bytes.ts'
import { celeriac, interrupted } from './command.ts'
import { findFreePort, startStorage } from './storage.ts'

const source = resolve(process.argv[2] ?? fileURLToPath(new URL('../../src', import.meta.url)))
if (!statSync(source, { throwIfNoEntry: false })?.isDirectory()) {
  console.error(`error: ${source} is not a folder. Name the one to back up: node examples/hosting/main.ts <folder>`)
  process.exit(1)
}

const home = mkdtempSync(join(tmpdir(), 'celeriac-hosting-'))
const given = process.env['CELERIAC_URL']
process.env['CELERIAC_URL'] ||= `sqlite:${join(home, 'jobs.db')}`
// Loaded only now: the app in it reads the variable.
const { app, backUp } = await import('./tasks.ts')

const worker = new Worker(app)
const stops: (() => Promise<void>)[] = [() => app.close(), () => worker.stop({ grace: 0 })]
// Ctrl-C ends the command that is running; what was started here is then stopped and removed as at any other end.
process.on('SIGINT', () => {})
try {
  await worker.start()
  process.exitCode = await demonstrate()
} finally {
  for (const stop of stops.reverse()) await stop()
  for (const folder of ['work', 'stored', 'restored']) rmSync(join(home, folder), { recursive: true, force: true })
}

/** Answers with the exit code. */
async function demonstrate(): Promise<number> {
  const port = await findFreePort()
  console.log(`Backing up ${source}`)
  console.log(`The storage on port ${port}, where the backup is to go, is down for now.`)
  const backup = await app.submit(backUp(source, home, port), { description: `Back up ${basename(source)}` })

  if ((await celeriac('follow', backup.id)) === interrupted) return interrupted
  // Where nothing can be drawn over, a line for each change was told: the tree comes now.
  if (!process.stdout.isTTY) await celeriac('show', backup.id)
  const failed = await backup.snapshot()
  const culprit = failed.jobs.find(({ id }) => id === failed.failedJobId)
  if (failed.state !== 'failed' || culprit?.task !== 'backup.transfer') {
    console.error(`error: The backup ${failed.state} in ${culprit?.task}: ${failed.failure?.message}`)
    tellWhereToLook(backup.id)
    return 1
  }

  console.log('\nThe storage comes up, and the same collection is tried again. Its ids stay.')
  stops.push(await startStorage(port, join(home, 'stored')))
  const code = await celeriac('retry', backup.id, '--follow')
  if (code !== 0) return code
  const done = await backup.snapshot()
  if (done.state !== 'succeeded') throw new Error(`The backup ${done.state}.`)

  const attempts = new Map(failed.jobs.map(({ id, attempt }) => [id, attempt]))
  const tell = (jobs: typeof done.jobs): string => [...new Set(jobs.map(({ task }) => task))].join(', ')
  const { files, bytes, packedBytes, sha256 } = done.result
  console.log(`
Archive    ${files} files, ${formatBytes(bytes)}, packed ${formatBytes(packedBytes)}
Checksum   ${sha256}
Restored   every file compared, byte by byte
Kept       ${tell(done.jobs.filter(({ id, attempt }) => attempts.get(id) === attempt))}
Ran again  ${tell(done.jobs.filter(({ id, attempt }) => attempts.get(id) !== attempt))}`)
  tellWhereToLook(backup.id)
  return 0
}

function tellWhereToLook(id: string): void {
  // One that was given is known, and may hold a password.
  const where = given ? '' : `export CELERIAC_URL=${process.env['CELERIAC_URL']}\n  `
  console.log(`
Its jobs are kept. Look at them now or later:

  ${where}npx celeriac show ${id}
  npx celeriac jobs
  npx celeriac --help

How it is made: examples/hosting/tasks.ts. What else there is: README.md, docs/.`)
}
