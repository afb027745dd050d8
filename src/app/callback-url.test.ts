import { describe, expect, test } from 'vitest'
import { checkCallbackUrl, isAllowed, readAllowed } from './callback-url.ts'

const check = (url: string, ...allow: string[]): void =>
  checkCallbackUrl(url, readAllowed(allow, 'allow'), 'callbackUrl')

describe('what names no public host is refused at once, however it is spelled', () => {
  test.each([
    ...['127.0.0.1', '127.0.0.1.', '127.1', '127.0.1', '0177.0.0.1', '0x7f.0.0.1', '0x7f000001', '2130706433'],
    ...['017700000001', '0x7F.1', '%31%32%37.0.0.1', '127%2e0%2e0%2e1', '１２７.０.０.１', '①②⑦.⓪.⓪.①', '127。0。0。1'],
    ...['0', '0.0.0.0', '0x0', '10.0.0.1', '10.1', '0xa000001', '172.16.0.1', '192.168.1', '3232235777'],
    ...['169.254.169.254', '0xa9fea9fe', '2852039166', '0251.0376.0251.0376', '169.254.43518', '100.64.0.1'],
    ...['192.0.2.1', '198.18.0.1', '203.0.113.1', '224.0.0.1', '255.255.255.255', '4294967295', '168.63.129.16'],
    ...[
      '[::]',
      '[::1]',
      '[0:0:0:0:0:0:0:1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
      '[::FFFF:A00:1]',
    ],
    ...[
      '[64:ff9b::127.0.0.1]',
      '[2002:7f00:1::]',
      '[2001::1]',
      '[fe80::1]',
      '[fc00::1]',
      '[fd00:ec2::254]',
      '[ff02::1]',
    ],
    ...['[2001:db8::1]', '[100::1]'],
    ...['localhost', 'LOCALHOST', 'localhost.', 'api.localhost', 'ｌｏｃａｌｈｏｓｔ', 'l%6fcalhost'],
  ])('%s', (host) => {
    for (const url of [`http://${host}/hook?token=hunter2`, `https://${host}:8443/`]) {
      expect(() => check(url)).toThrow(
        expect.objectContaining({
          code: 'BAD_OPTION',
          message: expect.stringMatching(/^callbackUrl: \S+ is no public address/) as string,
        }),
      )
    }
    expect(() => check(`http://${host}/hook?token=hunter2`)).toThrow(/^(?!.*hunter2)/)
  })

  test.each(['[fe80::1%25eth0]', '[fe80::1%eth0]', '256.0.0.1', '127.0.0.1.1', '0x100000000', '127.0.0.08', '[::1'])(
    '%s is not even a URL',
    (host) => expect(URL.canParse(`http://${host}/`)).toBe(false),
  )

  test.each([
    'example.com',
    '1.1.1.1',
    '[2606:4700:4700::1111]',
    'localhost.example.com',
    'notlocalhost',
    '127.0.0.1.nip.io',
  ])('%s is looked at when it is called', (host) => expect(check(`https://${host}/`)).toBeUndefined())
})

describe('what is allowed by name', () => {
  test.each([
    ['localhost', 'http://localhost:4000/x', 'https://LOCALHOST', 'http://localhost./'],
    ['127.0.0.1:4000', 'http://127.0.0.1:4000/', 'https://127.1:4000', 'http://2130706433:4000'],
    ['localhost:80', 'http://localhost/', 'http://localhost:80/'],
    ['localhost:443', 'https://localhost/', 'http://localhost:443/'],
    ['[::1]:4000', 'http://[::1]:4000/', 'http://[0:0::1]:4000/'],
    ['*.localhost', 'http://api.localhost/', 'http://a.b.localhost:1/'],
    ['10.0.0.7', 'http://10.0.0.7/', 'http://10.0.0.7:9/'],
  ])('%s allows', (entry, ...urls) => {
    for (const url of urls) expect(check(url, 'elsewhere', entry)).toBeUndefined()
  })

  test.each([
    ['127.0.0.1:4000', 'http://127.0.0.1:4001/', 'http://127.0.0.1/', 'http://localhost:4000/', 'http://[::1]:4000/'],
    ['localhost:80', 'https://localhost/', 'http://localhost:8080/'],
    ['*.localhost', 'http://localhost/', 'http://notlocalhost.localhost.localhost:1@127.0.0.1/'],
    ['*.internal.example', 'http://127.0.0.1/', 'http://[::1]/'],
    ['localhost', 'http://127.0.0.1/', 'http://api.localhost/'],
  ])('%s does not allow', (entry, ...urls) => {
    for (const url of urls) expect(() => check(url, entry)).toThrow('no public address')
  })

  test('a name says nothing of the names around it', () => {
    const allowed = readAllowed(['*.internal.example', 'a.example'], 'allow')
    const hosts = [
      'x.internal.example',
      'internal.example',
      'xinternal.example',
      'a.example',
      'b.a.example',
      'a.example.org',
    ]
    expect(hosts.filter((host) => isAllowed(new URL(`https://${host}`), allowed))).toEqual([
      'x.internal.example',
      'a.example',
    ])
  })

  test.each([
    ...[
      '*',
      '*.',
      '',
      ' ',
      'http://localhost',
      'localhost/x',
      'a@localhost',
      'localhost:',
      'localhost:port',
      'a b',
      '::1',
    ],
    ...['*.*.example', 'a.*.example', '[::1', 'localhost?x', 'localhost#x', '256.1.1.1', 5, null],
  ])('%o is no host', (entry) => {
    expect(() => readAllowed(['localhost', entry], 'allow')).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining('allow[1]: a host is needed') }),
    )
  })
})
