/** What the documentation shows and its test does not run: a block marked `no-run`, or a command. */
export interface NotRun {
  readonly path: string
  /** A part of the text of the block or command. */
  readonly text: string
  readonly because: string
}

export const notRun: readonly NotRun[] = [
  { path: 'README.md', text: 'npm install celeriac', because: 'test/scenario/package installs the packed package' },
  { path: 'README.md', text: 'npm ci', because: 'it installs the project and runs this very test' },
  { path: 'README.md', text: 'npx celeriac retry 019a…', because: 'nothing has failed in that example' },
  {
    path: 'README.md',
    text: 'postgres://localhost/shop',
    because: 'it needs a PostgreSQL server; test/scenario tests it',
  },
  { path: 'docs/cli.md', text: '--save-dev tsx', because: 'it installs; test/scenario/cli tests what comes of it' },
  {
    path: 'docs/workers.md',
    text: 'npx esbuild worker.ts',
    because: 'it needs esbuild; test/scenario/heartbeat-thread tests a bundle of another bundler',
  },
  {
    path: 'docs/moving.md',
    text: '--to postgres://localhost/shop',
    because: 'it needs a PostgreSQL server; test/scenario tests it',
  },
]

export const isNotRun = (path: string, text: string): boolean =>
  notRun.some((one) => one.path === path && text.includes(one.text))
