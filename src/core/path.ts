/**
 * The way to a value inside another, as it would be written in code, with the middle of a very long one left out.
 *
 * @example
 * pathText('args', [0, 'rows', 3, 'first name']) // 'args[0].rows[3]["first name"]'
 */
export function pathText(root: string, steps: readonly PropertyKey[]): string {
  const all = steps.map(stepText)
  const shown = all.length > 12 ? [...all.slice(0, 6), '…', ...all.slice(-5)] : all
  return root + shown.join('')
}

function stepText(step: PropertyKey): string {
  if (typeof step !== 'string') return `[${String(step)}]`
  if (/^[\p{L}_$][\p{L}\p{N}_$]{0,59}$/u.test(step)) return `.${step}`
  return `[${JSON.stringify(step.length > 60 ? `${step.slice(0, 60)}…` : step)}]`
}
