import type { Runtime } from '../core/runtime.ts'
import { colourPaint, plainPaint, type View } from './view.ts'

/** Where a command speaks: answers on the output, hints and errors beside it. */
export interface Terminal {
  /** Read anew each time: the window may change, and time goes on. */
  readonly view: View
  /** Lines of the window. */
  readonly rows: number
  /** What was printed can be drawn over. */
  readonly isLive: boolean
  /** Lines of the answer. */
  print(...lines: readonly string[]): void
  /** Lines that are not part of the answer: a program that reads the output does not get them. */
  note(...lines: readonly string[]): void
  /** Text as it is, for drawing over what was drawn. */
  write(text: string): void
}

export type Environment = { [name: string]: string | undefined }

/** What of `process.stdout` and `process.stderr` is needed. */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

/** Wider, and the state of a job stands too far from its name. */
const widest = 120
const narrowest = 20

/** The terminal of a process: NO_COLOR, FORCE_COLOR, TERM=dumb and COLUMNS are respected. */
export function terminalOf(output: Output, errors: Output, env: Environment, runtime: Runtime): Terminal {
  const isDumb = env['TERM'] === 'dumb'
  const paint = wantsColour(output, env) ? colourPaint : plainPaint
  return {
    get view() {
      const columns = output.columns ?? Number(env['COLUMNS'])
      const width = columns > 0 ? Math.min(widest, Math.max(narrowest, Math.floor(columns))) : 80
      return { width, unicode: !isDumb, paint, now: runtime.now() }
    },
    get rows() {
      return output.rows ?? 24
    },
    isLive: output.isTTY === true && !isDumb,
    print: (...lines) => void output.write(lines.map((line) => `${line}\n`).join('')),
    note: (...lines) => void errors.write(lines.map((line) => `${line}\n`).join('')),
    write: (text) => void output.write(text),
  }
}

function wantsColour(output: Output, env: Environment): boolean {
  const forced = env['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  if (env['NO_COLOR']) return false
  return output.isTTY === true && env['TERM'] !== 'dumb'
}
