import { clip, displayWidth } from './text.ts'
import type { Style, View } from './view.ts'
import { symbolsOf } from './view.ts'

/** A piece of a line in one style. Its text is printable already. */
export interface Span {
  readonly text: string
  readonly style?: Style | undefined
}

export const span = (text: string, style?: Style): Span => ({ text, style })

export const spansWidth = (spans: readonly Span[]): number =>
  spans.reduce((width, { text }) => width + displayWidth(text), 0)

/** One line of the view's width at most: `left` is cut where it would meet `right`, which stands at the edge. */
export function drawLine(left: readonly Span[], right: readonly Span[], view: View): string {
  const rightWidth = spansWidth(right)
  if (rightWidth > view.width / 2) return drawLine(left, right.slice(0, -1), view)
  const shown = cutSpans(left, view.width - rightWidth - (right.length > 0 ? 1 : 0), view)
  const gap = right.length > 0 ? ' '.repeat(view.width - rightWidth - spansWidth(shown)) : ''
  const painted = [...shown, span(gap), ...right].map(({ text, style }) => view.paint(style, text))
  return painted.join('').trimEnd()
}

function cutSpans(spans: readonly Span[], width: number, view: View): Span[] {
  const kept: Span[] = []
  let left = width
  for (const { text, style } of spans) {
    if (left <= 0) break
    const shown = clip(text, left, symbolsOf(view).ellipsis)
    kept.push(span(shown, style))
    left -= displayWidth(shown)
    if (shown !== text) break
  }
  return kept
}
