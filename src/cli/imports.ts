import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The variable by which a worker knows that it is supervised: a folder for what it leaves to its supervisor. */
export const supervised = 'CELERIAC_SUPERVISED'

export interface ImportedMessage {
  readonly celeriac: 'imported'
  readonly file: string
}

/** Our own code, built or not, is not what is being developed. */
const own = new URL('..', import.meta.url).href

/** Tells the supervising process of every file of the project that is imported from now on. */
export function tellImports(send: (message: ImportedMessage) => void): void {
  const told = new Set<string>()
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context)
      const { url } = resolved
      if (!told.has(url) && isOfProject(url)) {
        told.add(url)
        send({ celeriac: 'imported', file: fileURLToPath(url) })
      }
      return resolved
    },
  })
}

const isOfProject = (url: string): boolean =>
  url.startsWith('file:') && !url.includes('/node_modules/') && !url.startsWith(own)
