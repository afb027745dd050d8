import { expect, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { systemRuntime } from '../core/runtime.ts'
import { newSecret } from '../core/secret.ts'
import { callbackSettings, readCallbacks } from './callback-settings.ts'

const [one, two] = [newSecret(systemRuntime), newSecret(systemRuntime)]
const settings = (options: object, environment = {}) =>
  callbackSettings(readCallbacks(options, 'callbacks'), environment)

test('what is not said is in the environment, else the store keeps a secret and nothing is allowed', () => {
  expect(settings({})).toEqual({ secrets: null, allow: [] })
  const environment = {
    CELERIAC_CALLBACK_SECRET: `${one} ${two}`,
    CELERIAC_CALLBACK_ALLOW: 'a.example, *.b.example:80',
  }
  const allow = [
    { host: 'a.example', isParent: false, port: null },
    { host: 'b.example', isParent: true, port: '80' },
  ]
  expect(settings({}, environment)).toEqual({ secrets: [one, two], allow })
  expect(settings({ secrets: [two] }, environment)).toEqual({ secrets: [two], allow })
  expect(settings({ allow: [] }, environment)).toEqual({ secrets: [one, two], allow: [] })
  expect(settings({}, { CELERIAC_CALLBACK_SECRET: '', CELERIAC_CALLBACK_ALLOW: ' ' })).toEqual({
    secrets: null,
    allow: [],
  })
})

test('what is wrong is told when the app is made', () => {
  const make = (callbacks: object) => () => new Celeriac({ url: 'sqlite::memory:', callbacks })
  const refused = (message: string) =>
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(message) as string })
  expect(make({ secret: one })).toThrow(
    refused('new Celeriac: callbacks: there is no option "secret": did you mean "secrets"?'),
  )
  expect(make({ secrets: one })).toThrow(refused('new Celeriac: callbacks: secrets: a list of secrets is needed'))
  expect(make({ secrets: [one, 'hunter2'] })).toThrow(refused('callbacks: secrets[1]: a secret is whsec_'))
  expect(make({ allow: ['http://a.example'] })).toThrow(refused('callbacks: allow[0]: a host is needed'))
  expect(() => settings({}, { CELERIAC_CALLBACK_SECRET: 'hunter2' })).toThrow(
    refused('CELERIAC_CALLBACK_SECRET[0]: a secret is'),
  )
  expect(() => settings({}, { CELERIAC_CALLBACK_SECRET: 'hunter2' })).toThrow(/^(?!.*hunter2)/s)
  expect(() => settings({}, { CELERIAC_CALLBACK_ALLOW: '*' })).toThrow(
    refused('CELERIAC_CALLBACK_ALLOW[0]: a host is needed'),
  )
})
