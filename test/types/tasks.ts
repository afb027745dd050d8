import { Celeriac } from 'celeriac'
import type { Canvas, FailureReport, Task } from 'celeriac'
export const app: Celeriac = new Celeriac()
export const add: Task<(x: number, y: number) => number> = app.task('math.add', (x, y) => x + y)
export const show: Task<(x: number) => Promise<string>> = app.task('show', async (x) => `${x}`)
export const upper: Task<(text: string) => string> = app.task('upper', (text) => text.toUpperCase())
export const sum: Task<(xs: readonly number[]) => number> = app.task('sum', (xs) => xs.length)
export const stats: Task<() => { total: number }> = app.task('stats', () => ({ total: 1 }))
export const alert: Task<(report: FailureReport) => Promise<void>> = app.task('alert', async (report) => {
  void report
})
export const log: Task<(line: string) => Promise<void>> = app.task('log', async (line) => {
  void line
})
export const pad: Task<(text: string, width?: number) => string> = app.task<(text: string, width?: number) => string>(
  'pad',
  (text, width) => text.padStart(width ?? 0),
)
export const configure: Task<(name: string, options: { deep: boolean; depth?: number }) => string> = app.task(
  'configure',
  (name, options) => name + options.depth,
)
export interface User {
  id: string
  name: string
  address: { city: string; zip: string }
}
export const load: Task<(id: string) => Promise<User>> = app.task('load', async (id) => ({
  id,
  name: '',
  address: { city: '', zip: '' },
}))
export const ship: Task<(to: { name: string; address: { city: string; zip: number } }) => void> = app.task(
  'ship',
  (to) => {
    void to
  },
)
export const countdown: Task<(n: number) => number | Canvas<number>> = app.task('countdown', (n) =>
  n === 0 ? 0 : countdown.s(n - 1),
)
