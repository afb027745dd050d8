import { expect, test } from 'vitest'
import { readAllowed } from '../app/callback-url.ts'
import { addressesFor, pinned } from './guard.ts'

const four = (address: string) => ({ address, family: 4 })
const six = (address: string) => ({ address, family: 6 })

const ask = (url: string, addresses: ReturnType<typeof four>[], ...allow: string[]) =>
  addressesFor(new URL(url), readAllowed(allow, 'allow'), async () => addresses)

test('a name is called at the addresses it has now', async () => {
  const addresses = [four('93.184.216.34'), six('2606:4700::1111')]
  expect(await ask('https://a.example/', addresses)).toEqual(addresses)
})

test.each([
  ['one is private', [four('93.184.216.34'), four('10.0.0.1')]],
  ['one is private in IPv6', [six('2606:4700::1111'), six('fd00::1')]],
  ['it is loopback', [four('127.0.0.1')]],
  ['it has an IPv4 inside', [six('::ffff:169.254.169.254')]],
  ['it has a zone', [six('fe80::1%eth0')]],
  ['it is no address', [four('127.1')]],
])('a name is not called where %s, and it is not told what was found', async (_, addresses) => {
  const asked = ask('https://a.example/?token=hunter2', addresses)
  await expect(asked).rejects.toThrow(
    /^a\.example was not found, or leads to an address that is not public: nothing was sent;/,
  )
  await asked.catch(({ message }: Error) => {
    expect(message).not.toContain('hunter2')
    for (const { address } of addresses) expect(message).not.toContain(address)
  })
})

test('an address is looked at without asking anybody', async () => {
  const asked: string[] = []
  const resolve = async (host: string) => (asked.push(host), [four('1.1.1.1')])
  expect(await addressesFor(new URL('http://93.184.216.34/'), [], resolve)).toEqual([four('93.184.216.34')])
  expect(await addressesFor(new URL('http://[2606:4700::1]/'), [], resolve)).toEqual([six('2606:4700::1')])
  for (const url of ['http://127.1/', 'http://[::1]/', 'http://0x7f000001/'])
    await expect(addressesFor(new URL(url), [], resolve)).rejects.toThrow('not public')
  expect(asked).toEqual([])
})

test('what is allowed by name may be anywhere', async () => {
  expect(await ask('http://localhost:4000/', [four('127.0.0.1')], 'localhost')).toEqual([four('127.0.0.1')])
  expect(await ask('http://a.internal.example/', [four('10.0.0.1')], '*.internal.example')).toEqual([four('10.0.0.1')])
  expect(await ask('http://127.0.0.1:4000/', [], '127.0.0.1:4000')).toEqual([four('127.0.0.1')])
  // Nobody else becomes reachable by pointing a name there.
  await expect(ask('http://a.example/', [four('127.0.0.1')], '127.0.0.1', 'localhost')).rejects.toThrow('not public')
  await expect(ask('http://localhost:4001/', [four('127.0.0.1')], 'localhost:4000')).rejects.toThrow('not public')
})

test('a name that leads nowhere is told in the same words as one that leads into this network', async () => {
  const failing = () => Promise.reject(new Error('getaddrinfo ENOTFOUND a.example'))
  const asked = [
    ask('http://a.example/', []),
    ask('http://a.example/', [four('10.0.0.1')]),
    addressesFor(new URL('http://a.example/'), [], failing),
  ]
  const said = await Promise.all(asked.map((one) => one.catch(({ message, cause }: Error) => [message, cause])))
  expect(new Set(said.map((one) => JSON.stringify(one))).size).toBe(1)
  expect(said[0]).toEqual([expect.stringMatching(/^a\.example was not found, or leads to /), undefined])
})

test('a connection goes to the addresses that were looked at, whatever name it asks for', () => {
  const addresses = [four('1.1.1.1'), six('2606:4700::1111')]
  const answers: unknown[] = []
  pinned(addresses)('other.example', { all: true }, (...answer) => void answers.push(answer))
  pinned(addresses)('other.example', {}, (...answer) => void answers.push(answer))
  expect(answers).toEqual([
    [null, addresses],
    [null, '1.1.1.1', 4],
  ])
})
