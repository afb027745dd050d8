import { expect, test } from 'vitest'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { partsOf } from '../app/parts.ts'
import { keyOf, newSecret } from '../core/secret.ts'
import { overlap, rotateSecret, signingSecrets } from './secrets.ts'

function store() {
  const { app, engine, clock, calls } = appByHand()
  const source = { settings: { secrets: null }, store: engine, runtime: clock }
  return { source, clock, engine, calls, newId: partsOf(app).newId }
}

test('the first who asks makes one, and all get the same', async () => {
  const { source, engine } = store()
  const asked = await Promise.all([1, 2, 3].map(() => signingSecrets(source)))
  const [[secret]] = asked as [[string]]
  expect(keyOf(secret)).toHaveLength(32)
  expect(asked).toEqual([[secret], [secret], [secret]])
  expect(await signingSecrets(source)).toEqual([secret])
  expect(await engine.values('secret')).toEqual([{ id: 'callback', text: secret, expiresAt: null }])
})

test('those that were given are used, and the store is not asked', async () => {
  const { source, calls, clock, newId } = store()
  const given = { ...source, settings: { secrets: [newSecret(clock)] } }
  expect(await signingSecrets(given)).toBe(given.settings.secrets)
  await expect(rotateSecret(given, newId)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('put a new one in front of them there') as string,
  })
  expect(calls).toEqual([])
})

test('a new one stands in front, and each of those before it goes on signing for a day', async () => {
  const { source, clock, newId } = store()
  const [first] = await signingSecrets(source)
  const second = await rotateSecret(source, newId)
  expect(await signingSecrets(source)).toEqual([second, first])
  clock.pass(overlap / 2)
  const third = await rotateSecret(source, newId)
  expect(await signingSecrets(source)).toEqual([third, second, first])
  clock.pass(overlap / 2)
  expect(await signingSecrets(source)).toEqual([third, second])
  clock.pass(overlap / 2)
  expect(await signingSecrets(source)).toEqual([third])
})

test('broken off in the middle, the old one goes on', async () => {
  const { source, engine, newId } = store()
  const [first] = await signingSecrets(source)
  let count = 0
  const putValue: typeof engine.putValue = (value, conflict) =>
    ++count === 2 ? Promise.reject(new Error('Broken off')) : engine.putValue(value, conflict)
  const breaking = { ...source, store: { values: engine.values, putValue } }
  await expect(rotateSecret(breaking, newId)).rejects.toThrow('Broken off')
  expect(await signingSecrets(source)).toEqual([first])
})

test('other secrets of the store are left alone', async () => {
  const { source, engine } = store()
  await engine.putValue({ kind: 'secret', id: 'session', text: 'x', lifetime: null }, 'keep')
  await engine.putValue({ kind: 'secret', id: 'callbacks', text: 'y', lifetime: null }, 'keep')
  expect(await signingSecrets(source)).toHaveLength(1)
})
