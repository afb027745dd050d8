import { existsSync } from 'node:fs'
import { registerHooks } from 'node:module'

let isRegistered = false

/**
 * Lets TypeScript modules import each other by the names that `tsc` and bundlers accept: `./tasks.js` and `./tasks` are
 * `./tasks.ts` where only that is there. Node itself takes the name of the file alone.
 */
export function resolveTypeScript(): void {
  if (isRegistered) return
  isRegistered = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      try {
        return nextResolve(specifier, context)
      } catch (error) {
        const found = typeScriptFor(specifier, context.parentURL)
        if (found === undefined) throw error
        return nextResolve(found, context)
      }
    },
  })
}

const isTypeScript = (url: string): boolean => /\.[mc]?ts$/.test(url)

/** The TypeScript file that a relative import of another one means, if there is one. */
function typeScriptFor(specifier: string, parent: string | undefined): string | undefined {
  if (!/^\.{1,2}(\/|$)/.test(specifier) || parent === undefined || !isTypeScript(parent)) return undefined
  const names = /\.[mc]?js$/.test(specifier)
    ? [specifier.replace(/js$/, 'ts')]
    : [`${specifier}.ts`, `${specifier}/index.ts`]
  return names.find((name) => existsSync(new URL(name, parent)))
}

const advice =
  "Node strips types and does nothing else. If the module needs more (enums, decorators, path aliases), install tsx and set NODE_OPTIONS='--import tsx', or compile it and name the JavaScript."

/** What to do about TypeScript that Node cannot load; nothing where the error has another cause. */
export function typeScriptAdvice(error: unknown, file: string): string[] {
  const { code = '' } = error as NodeJS.ErrnoException
  const isSyntax = error instanceof SyntaxError && isTypeScript(file)
  const isAlias = code === 'ERR_MODULE_NOT_FOUND' && isTypeScript(file) && /package '[@~#]/.test(String(error))
  return isSyntax || isAlias || code.endsWith('_TYPESCRIPT_SYNTAX') ? [advice] : []
}
