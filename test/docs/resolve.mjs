// Loaded by `node --import`: what the package exports comes from its source.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

const root = new URL('../../', import.meta.url)
const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
const sources = new Map(
  Object.entries(exports).flatMap(([name, target]) =>
    typeof target === 'object'
      ? [
          [
            `celeriac${name.slice(1)}`,
            new URL(target.default.replace('./dist/', 'src/').replace(/js$/, 'ts'), root).href,
          ],
        ]
      : [],
  ),
)

registerHooks({
  resolve: (specifier, context, next) => {
    const url = sources.get(specifier)
    return url ? { url, shortCircuit: true } : next(specifier, context)
  },
})
