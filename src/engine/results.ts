import type { StoredResult } from '../core/job.ts'

export interface ResultsPage {
  readonly results: readonly StoredResult[]
  readonly next: string | null
}

/** Loads what was left out of a result, however large, page by page. */
export async function loadResult(
  result: StoredResult,
  page: (barrier: number, after: string | null) => Promise<ResultsPage>,
): Promise<StoredResult> {
  if ('json' in result) return result
  const results = result.results ?? (await allResults(result.barrier as number, page))
  const whole: StoredResult[] = []
  for (const each of results) whole.push(await loadResult(each, page))
  return { ...result, results: whole }
}

async function allResults(barrier: number, page: Parameters<typeof loadResult>[1]): Promise<StoredResult[]> {
  const all: StoredResult[] = []
  for (let after: string | null = null; ;) {
    const { results, next } = await page(barrier, after)
    for (const result of results) all.push(result)
    if (next === null) return all
    after = next
  }
}
