import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Celeriac } from 'celeriac'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { areSame } from '../../examples/hosting/bytes.ts'
import { displayWidth } from '../../src/cli/text.ts'
import { start, type Started } from '../fixtures/command-process.ts'
import { describeEngines } from '../fixtures/store.ts'

const demo = fileURLToPath(new URL('../../examples/hosting/main.ts', import.meta.url))
const place = mkdtempSync(join(tmpdir(), 'celeriac-demo-'))
afterAll(() => rmSync(place, { recursive: true }))

/** Root reads everything, unless it gives that up first. */
const isRoot = process.getuid?.() === 0
const withoutPrivileges = isRoot
  ? ['setpriv', '--inh-caps=-dac_override,-dac_read_search', '--bounding-set=-dac_override,-dac_read_search']
  : []
const mayBeLockedOut = process.platform !== 'win32' && (!isRoot || spawnSync('setpriv', ['--version']).status === 0)

/** A folder to back up, and another that the demo takes for the one of temporary files. */
function layOut(name: string, files: { readonly [path: string]: string | Buffer }) {
  const [source, temporary] = [join(place, name), join(place, `${name}.tmp`)]
  for (const folder of [source, temporary]) mkdirSync(folder, { recursive: true })
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(source, path, '..'), { recursive: true })
    writeFileSync(join(source, path), content)
  }
  const run = (args: readonly string[], by: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Started =>
    start([demo, ...args], { env: { TMPDIR: temporary, ...env }, by })
  /** What is left when it has ended. */
  const left = (): string[] =>
    readdirSync(temporary).flatMap((folder) =>
      readdirSync(join(temporary, folder)).map((file) => join(temporary, folder, file)),
    )
  return { source, run, left }
}

/** What every run says alike, wherever its jobs are kept. */
const told: string[] = []

describeEngines((engine) => {
  it('fails without the storage, is retried with the same ids, and restores every byte', async () => {
    const store = await engine.place()
    onTestFinished(() => store.remove())
    const { source, run, left } = layOut(`${engine.name}/shop`, {
      'price list.txt': 'one table\n'.repeat(20_000),
      'поръчки/注文 👩‍👩‍👧.json': '{"table":1}',
      'поръчки/empty': '',
      'a/b/c/photo.raw': Buffer.from(Array.from({ length: 70_000 }, (_, n) => (n * 7919) % 256)),
    })
    mkdirSync(join(source, 'nothing here'))
    symlinkSync('price list.txt', join(source, 'prices'))
    symlinkSync('gone', join(source, 'dangling'))
    const { said, ended } = run([source], [], { CELERIAC_URL: store.url })
    expect(await ended, said.out + said.err).toBe(0)
    expect(said.err).toBe('')

    expect(said.out).toMatch(/\n\d\d:\d\d:\d\d failed after /)
    expect(said.out).toMatch(
      /✗ failed {2}Back up shop[^]*├─ ✗ backup\.transfer .* failed .*\n[^]*The storage on port \d+ does not answer[^]*└─ − backup\.verify .* skipped/,
    )
    expect(said.out).toMatch(/\nArchive {4}4 files, 270\.0 kB, packed .*\nChecksum {3}[0-9a-f]{64}\n/)
    expect(said.out).toContain('Kept       backup.scan, backup.pack, backup.manifest\n')
    expect(said.out).toContain('Ran again  backup.transfer, backup.restore, backup.verify\n')
    // Paths are as long as they are, and so are the lines of a log.
    for (const line of said.out.split('\n').filter((line) => !line.includes(place) && !/^\d\d:/.test(line))) {
      expect(displayWidth(line)).toBeLessThanOrEqual(80)
    }
    expect(left()).toEqual([])
    await using app = new Celeriac({ url: store.url })
    const { items } = await app.collections.list()
    expect(items).toMatchObject([{ state: 'succeeded', round: 2 }])
    const { jobs } = await (await app.collection(items[0]!.id)).snapshot()
    expect(jobs.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1, 1, 2, 1, 1])
    expect(await app.workers.list()).toMatchObject([{ state: 'ended' }])
    told.push(sayingAlike(said.out))
    expect(told.at(-1)).toBe(told[0])
  })
})

/** The tree of the failure and the account at the end, without what differs from one run to the next. */
function sayingAlike(out: string): string {
  const tree = /✗ failed {2}Back up[^]*?\n\n\$/.exec(out)?.[0] ?? ''
  const account = out.slice(out.indexOf('\nArchive'))
  return (
    (tree + account)
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'id')
      .replaceAll(/[0-9a-f]{64}/g, 'checksum')
      // Arguments are cut off where there is no room for them.
      .replaceAll(/(?<=[├└]─ \S \S+ ).*(?= (succeeded|failed|skipped))/g, '')
      .replaceAll(/port \d+|:\d{4,5}/g, 'port')
      .replaceAll(/ +(\d+ ms|\d+\.\d s)/g, '')
      .replaceAll(/packed .*/g, 'packed')
      .replaceAll(/ +/g, ' ')
  )
}

describe.concurrent('the demo', () => {
  it('keeps its jobs in a file of its own where no other place is named', async () => {
    const { source, run, left } = layOut('file', { 'a.txt': 'a' })
    const { said, ended } = run([source])
    expect(await ended, said.out + said.err).toBe(0)
    const url = /export CELERIAC_URL=(\S+)/.exec(said.out)![1]!
    expect(left()).toEqual([url.replace('sqlite:', '')])
  })

  it('backs up an empty folder', async () => {
    const { source, run } = layOut('empty', {})
    const { said, ended } = run([source])
    expect(await ended, said.out + said.err).toBe(0)
    expect(said.out).toContain('Archive    0 files, 0 B, packed 0 B\n')
  })

  it.each(['no such folder', 'file/a'])('says so where %s is no folder', async (path) => {
    const { source, run, left } = layOut(`wrong ${path.replace('/', ' ')}`, { 'file/a': '' })
    const { said, ended } = run([join(source, path)])
    expect(await ended).toBe(1)
    expect(said).toEqual({
      out: '',
      err: expect.stringMatching(/^error: .* is not a folder\. Name the one to back up: .*\n$/),
    })
    expect(left()).toEqual([])
  })

  it('stops what it started at ctrl-C', async () => {
    const { source, run, left } = layOut('stopped', { 'large.raw': '' })
    // A hole takes no place, but reading it takes long.
    truncateSync(join(source, 'large.raw'), 8 * 2 ** 30)
    const { process, says, ended } = run([source])
    await says(/following /)
    process.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(left().map((file) => file.replace(/.*\//, ''))).toEqual(['jobs.db'])
  })

  it.skipIf(!mayBeLockedOut)('tells of a file that cannot be read', async () => {
    const { source, run } = layOut('locked', { 'diary.txt': 'dear', 'letter.txt': 'Dear' })
    chmodSync(join(source, 'diary.txt'), 0)
    const { said, ended } = run([source], withoutPrivileges)
    expect(await ended).toBe(1)
    expect(said.out).toMatch(/✗ backup\.pack .* failed .*\n[^]*EACCES: permission denied, open[^]*diary\.txt'/)
    expect(said.err).toMatch(
      /^error: The backup failed in backup\.pack: EACCES: permission denied, open '.*diary\.txt'\n$/,
    )
    expect(said.out).toMatch(/Look at them now or later:\n\n {2}export CELERIAC_URL=/)
  })
})

describe('areSame', () => {
  it.each([
    ['x'.repeat(200_000), 'x'.repeat(200_000), true],
    ['x'.repeat(200_000), `${'x'.repeat(199_999)}y`, false],
    ['x'.repeat(65_536), 'x'.repeat(65_537), false],
    ['', 'x', false],
    ['', '', true],
  ])('compares to the last byte', async (left, right, isSame) => {
    const [one, other] = [join(place, 'one'), join(place, 'other')]
    writeFileSync(one, left)
    writeFileSync(other, right)
    let read = 0
    expect(await areSame(one, other, (bytes) => (read += bytes))).toBe(isSame)
    if (isSame) expect(read).toBe(left.length)
  })
})
