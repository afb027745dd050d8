/**
 * The tail of a sentence about a name that is not known: the known one that it resembles, or nothing.
 *
 * @example
 * `there is no option "priorty"${didYouMean('priorty', names)}` // …: did you mean "priority"?
 */
export function didYouMean(word: string, known: Iterable<string>): string {
  let best = ''
  // One slip in four letters: more, and the guess is more often wrong than right.
  let least = Math.max(1, Math.floor(word.length / 4)) + 1
  for (const candidate of known) {
    const distance = distanceBetween(word.toLowerCase(), candidate.toLowerCase(), least)
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best === '' ? '' : `: did you mean "${best}"?`
}

/** How many letters to add, leave out, change or swap with their neighbour; `limit` where it is at least that. */
function distanceBetween(one: string, other: string, limit: number): number {
  if (Math.abs(one.length - other.length) >= limit) return limit
  let beforeLast: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, n) => n)
  for (let i = 1; i <= one.length; i++) {
    const row = [i]
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1]
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (isSame ? 0 : 1))
      const isSwapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      if (isSwapped) cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
    }
    ;[beforeLast, last] = [last, row]
  }
  return Math.min(limit, last[other.length]!)
}
