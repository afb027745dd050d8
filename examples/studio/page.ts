// The page with all that it loads. Its module imports celeriac/client, so a bundler puts together what a browser needs.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build, type Rolldown } from 'vite'

const folder = fileURLToPath(new URL('page/', import.meta.url))
const entries = ['celeriac/client', 'celeriac/client/element']

/** By their paths. */
export async function readFiles(): Promise<ReadonlyMap<string, { readonly type: string; readonly text: string }>> {
  const read = (name: string): Promise<string> => readFile(`${folder}${name}`, 'utf8')
  return new Map([
    ['/', { type: 'text/html', text: await read('index.html') }],
    ['/icon.svg', { type: 'image/svg+xml', text: await read('icon.svg') }],
    ['/page.css', { type: 'text/css', text: await read('page.css') }],
    ['/page.js', { type: 'text/javascript', text: await bundle() }],
  ])
}

async function bundle(): Promise<string> {
  const built = (await build({
    configFile: false,
    logLevel: 'error',
    root: folder,
    // This repository is the package: a project that depends on it leaves this line out.
    resolve: { alias: entries.map((name) => ({ find: new RegExp(`^${name}$`), replacement: sourceOf(name) })) },
    build: { write: false, modulePreload: { polyfill: false }, rolldownOptions: { input: `${folder}page.js` } },
  })) as Rolldown.RolldownOutput
  return built.output.map((one) => (one.type === 'chunk' ? one.code : '')).join('')
}

const sourceOf = (name: string): string => fileURLToPath(import.meta.resolve(name))
