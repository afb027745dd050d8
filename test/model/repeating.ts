/**
 * What repeats a random test: `CELERIAC_SEED=… CELERIAC_PATH=… npx vitest run --project contract test/model`, with the seed
 * and the path that its failure printed.
 */
export function repeating(): { seed?: number; path?: string } {
  const { CELERIAC_SEED: seed, CELERIAC_PATH: path } = process.env
  return { ...(seed === undefined ? {} : { seed: Number(seed) }), ...(path === undefined ? {} : { path }) }
}
