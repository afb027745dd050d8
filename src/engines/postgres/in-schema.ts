/** Statements name what is ours as if the schema were called `celeriac`; this is how they are to run in the one of this name. */
export function inSchema(sql: string, schema: string): string {
  return sql.replaceAll('celeriac.', `"${schema}".`)
}

/** Statements with the real name of the schema in them: made once for each text. */
const statements = new Map<string, Map<string, string>>()
export function statementsIn(schema: string): (sql: string) => string {
  const known = statements.get(schema) ?? new Map<string, string>()
  statements.set(schema, known)
  return (sql) => {
    let text = known.get(sql)
    if (text === undefined) {
      // Statements with conditions put together come in many forms.
      if (known.size > 1_000) known.clear()
      known.set(sql, (text = inSchema(sql, schema)))
    }
    return text
  }
}
