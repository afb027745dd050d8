// Plain JavaScript on purpose: a Node too old for this repository may be too old to read TypeScript, and so src/core/node-version.ts.
const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number)

const isSupported =
  major === 22 ? minor > 22 || (minor === 22 && patch >= 3) : major >= 26 || (major === 24 && minor >= 15)

if (!isSupported) {
  console.error(
    `celeriac needs Node 22.22.3 or a later 22, 24.15 or a later 24, or 26 or newer. This is Node ${process.versions.node}. ` +
      'Run `npm ci`, which puts Node 24 into node_modules/.bin, and start the script with `npm run`; ' +
      'where that has no Node for your platform, install Node 24 yourself.',
  )
  process.exit(1)
}
