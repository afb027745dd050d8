/**
 * A url as it may be printed, logged and stored: the way to the store, without its password and without settings of the
 * connection. What cannot be read as a url is told by its kind alone, for nobody knows where in it a password is.
 */
export function publicUrl(url: string): string {
  if (/^sqlite:/i.test(url)) return url
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return `${/^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0] ?? ''}…`
  }
  parsed.password = ''
  parsed.hash = ''
  for (const name of [...parsed.searchParams.keys()]) if (!shown.includes(name)) parsed.searchParams.delete(name)
  return parsed.href
}

/** Parameters that tell one store on a server from another. */
const shown = ['schema', 'namespace']
