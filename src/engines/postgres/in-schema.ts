/** Statements name what is ours as if the schema were called `celeriac`; this is how they are to run in the one of this name. */
export function inSchema(sql: string, schema: string): string {
  return sql.replaceAll('celeriac.', `"${schema}".`)
}
