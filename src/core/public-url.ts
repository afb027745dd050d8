/**
 * A url as it may be printed, logged and stored: without its password, in whichever place it stands. What cannot be read
 * as a url is told by its kind alone, for nobody knows where in it a password is.
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
  for (const name of [...parsed.searchParams.keys()]) if (secret.test(name)) parsed.searchParams.delete(name)
  return parsed.href
}

const secret = /pass|secret|token|key/i
