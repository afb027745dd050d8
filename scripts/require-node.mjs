// Plain JavaScript on purpose: a Node too old for this repository is also too old to read TypeScript.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `celeriac needs Node 22.18 or newer, and this is ${process.version}. ` +
      'Run `npm ci`, which puts Node 24 into node_modules/.bin, and start the script with `npm run`; ' +
      'where that has no Node for your platform, install Node 24 yourself.',
  )
  process.exit(1)
}
