import type { Case, FigureName, Line, Section } from './case.ts'
import type { Samples } from './sample.ts'
import { spread, type Spread } from './statistics.ts'

/** A line of the table, measured. */
export interface Verdict {
  readonly case: string
  readonly section: Section
  readonly label: string
  readonly decimals: number
  readonly figure: Spread
  readonly beside: Spread | null
  readonly ratio: Spread | null
  /** As the table says it; null where nothing is promised. */
  readonly target: string | null
  readonly met: boolean | null
}

export function judge(measured: Case, samples: Samples): Verdict[] {
  return measured.lines.map((line) => judgeLine(measured.name, line, samples))
}

function judgeLine(caseName: string, line: Line, samples: Samples): Verdict {
  const figures = valuesOf(line.figure, samples)
  const others = line.beside === undefined ? null : valuesOf(line.beside, samples)
  const ratio = others === null ? null : spread(figures.map((value, round) => value / (others[round] ?? Number.NaN)))
  return {
    case: caseName,
    section: line.section,
    label: line.label,
    decimals: line.decimals ?? 0,
    figure: spread(figures),
    beside: others === null ? null : spread(others),
    ratio,
    ...promise(line, spread(figures).median, ratio?.median ?? Number.NaN),
  }
}

function promise({ target }: Line, figure: number, ratio: number): Pick<Verdict, 'target' | 'met'> {
  if (!target) return { target: null, met: null }
  if (target.type !== 'below' && Number.isNaN(ratio)) return { target: 'not measured', met: null }
  if (target.type === 'ratio') return { target: `≥ ${target.atLeast}×`, met: ratio >= target.atLeast }
  if (target.type === 'share') return { target: `≤ ${target.atMost}×`, met: ratio <= target.atMost }
  return { target: `< ${target.limit}`, met: figure < target.limit }
}

function valuesOf(name: FigureName, samples: Samples): number[] {
  const [contender = '', figure = ''] = name.split('.')
  return (samples[contender] ?? []).map((figures) => figures[figure] ?? Number.NaN)
}
