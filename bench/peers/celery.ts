import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Debian's, for which its package python3-celery is made. */
const python = '/usr/bin/python3'
const program = fileURLToPath(new URL('celery_bench.py', import.meta.url))

/** How many processes or threads, and messages taken ahead: the best of these is what counts. */
export const settings = ['prefork', 'prefork-ahead', 'threads', 'solo'] as const
export type Setting = (typeof settings)[number]

/** null where it is not installed. */
export function celeryVersion(): string | null {
  const { status, stdout } = spawnSync(python, ['-c', 'import celery, redis; print(celery.__version__)'], {
    encoding: 'utf8',
  })
  return status === 0 ? stdout.trim() : null
}

export type Measurement = 'drain' | 'bulk' | 'chains' | 'chord' | 'latency'

/** Jobs a second; of a chord seconds, of the latency milliseconds. NaN where Celery is not installed. */
export function measureCelery(url: string, measurement: Measurement, count: number, setting: Setting): number {
  if (celeryVersion() === null) return Number.NaN
  const said = execFileSync(python, [program, url, measurement, String(count), setting], {
    encoding: 'utf8',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  return Number(said)
}
