import { expect, test } from 'vitest'
import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import { createReporter } from './report.ts'

const away = (message: string): StoreUnavailable => new StoreUnavailable(message, { mayBeStored: false })

function start() {
  const said: string[] = []
  return { said, reporter: createReporter(({ level, message }) => void said.push(`${level} ${message}`)) }
}

test('of a store that is away it is said once, whatever was asked, and once that it is back', () => {
  const { said, reporter } = start()
  reporter.trouble('claim', 'Claiming jobs failed', away('No server answers.'))
  reporter.trouble('heartbeat', 'A heartbeat failed', away('No server answers.'))
  reporter.trouble('claim', 'Claiming jobs failed', away('The connection was lost.'))
  expect(said).toEqual(['error No server answers. Jobs that run go on, and what they come to is kept. Trying again.'])
  reporter.over('heartbeat', 'Heartbeats work again.')
  // Claiming has not been answered yet.
  expect(said).toHaveLength(1)
  reporter.over('claim', 'Claiming jobs works again.')
  reporter.over('claim', 'Claiming jobs works again.')
  expect(said.slice(1)).toEqual(['info The store answers again.'])
  reporter.trouble('sweep', 'Upkeep failed', away('Again.'))
  expect(said).toHaveLength(3)
})

test('of an app that was closed first it is said once, and not that anything is tried again', () => {
  const { said, reporter } = start()
  const closed = new CeleriacError('CLOSED', 'The app is closed.')
  for (const kind of ['claim', 'heartbeat', 'sweep']) reporter.trouble(kind, `${kind} failed`, closed)
  reporter.trouble('claim', 'Claiming jobs failed', closed)
  expect(said).toEqual(['error The app is closed. This worker can do no more: stop workers before their app.'])
})

test('other trouble is said once of each kind', () => {
  const { said, reporter } = start()
  reporter.trouble('claim', 'Claiming jobs failed', new Error('Broken.'))
  reporter.trouble('claim', 'Claiming jobs failed', new Error('Broken.'))
  reporter.trouble('sweep', 'Upkeep failed', 'no')
  reporter.trouble('claim', 'Claiming jobs failed', away('Gone.'))
  reporter.over('claim', 'Claiming jobs works again.')
  expect(said).toEqual([
    'error Claiming jobs failed: Broken. Trying again.',
    'error Upkeep failed: no. Trying again.',
    'error Gone. Jobs that run go on, and what they come to is kept. Trying again.',
    'info The store answers again.',
    'info Claiming jobs works again.',
  ])
})

test('a log that throws does no harm', () => {
  const reporter = createReporter(() => {
    throw new Error('full')
  })
  reporter.info('anything')
  reporter.trouble('claim', 'Claiming jobs failed', away('Gone.'))
})
