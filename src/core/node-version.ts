/** The releases of Node that the package runs on, in words. `package.json` says the same in `engines`. */
export const supportedNode = 'Node 22.22.3 or a later 22, 24.15 or a later 24, or 26 or newer'

/**
 * Whether everything works on this version of Node, such as `22.22.3`. Older ones bring a SQLite below 3.51.3, which may damage
 * a file that several processes write (https://sqlite.org/wal.html#walresetbug). Those before 22.20 and 24.8 also fail at
 * statements that name a parameter twice (https://github.com/nodejs/node/issues/59340).
 */
export function isNodeSupported(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  if (major === 22) return minor > 22 || (minor === 22 && patch >= 3)
  return major >= 26 || (major === 24 && minor >= 15)
}
