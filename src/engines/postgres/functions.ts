/**
 * What is atomic is one request, and one request is one call of a function in the schema. The SQL of the functions stands
 * beside the TypeScript that calls them: each file exports one text (`claimFunctions` …) of `create or replace function`
 * statements. In it every name of ours is written as if the schema were called `celeriac` (`celeriac.jobs`,
 * `celeriac.claim(…)`); `inSchema` puts in the real one. Bodies are quoted by `$$`, begin with `#variable_conflict use_column`
 * and call their arguments `a_…`, their variables `v_…`. The first argument is `a_now`: null for the server's clock.
 *
 * A function whose signature or meaning changes so that workers of the version before could not go on gets another name.
 */
export const functions: readonly string[] = []

/** Statements as they are to run in the schema of this name. */
export function inSchema(sql: string, schema: string): string {
  return sql.replaceAll('celeriac.', `"${schema}".`)
}
