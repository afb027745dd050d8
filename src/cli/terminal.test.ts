import { describe, expect, it } from 'vitest'
import { systemRuntime } from '../core/runtime.ts'
import { Screen } from './screen.ts'
import { type Environment, type Output, terminalOf } from './terminal.ts'

function capture(output: Omit<Output, 'write'> = {}, environment: Environment = {}) {
  const written = { out: '', err: '' }
  const terminal = terminalOf(
    { ...output, write: (text) => (written.out += text) },
    { write: (text) => (written.err += text) },
    environment,
    systemRuntime,
  )
  return { terminal, written }
}

describe('terminalOf', () => {
  it('answers on the output, and says the rest beside it', () => {
    const { terminal, written } = capture()
    terminal.print('one', 'two')
    terminal.note('hint')
    expect(written).toEqual({ out: 'one\ntwo\n', err: 'hint\n' })
  })

  it.each([
    [{}, {}, 80],
    [{ columns: 100 }, {}, 100],
    [{ columns: 300 }, {}, 120],
    [{ columns: 4 }, {}, 20],
    [{}, { COLUMNS: '60' }, 60],
    [{}, { COLUMNS: 'wide' }, 80],
  ])('of %o with %o is %i columns wide', (output, environment, width) => {
    expect(capture(output, environment).terminal.view.width).toBe(width)
  })

  it.each([
    [{ isTTY: true }, {}, true],
    [{}, {}, false],
    [{ isTTY: true }, { NO_COLOR: '1' }, false],
    [{ isTTY: true }, { NO_COLOR: '' }, true],
    [{ isTTY: true }, { TERM: 'dumb' }, false],
    [{}, { FORCE_COLOR: '1' }, true],
    [{}, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    [{ isTTY: true }, { FORCE_COLOR: '0' }, false],
  ])('of %o with %o has colours: %s', (output, environment, hasColours) => {
    const painted = capture(output, environment).terminal.view.paint('red', 'x')
    expect(painted !== 'x').toBe(hasColours)
  })

  it('draws over what it drew only where it can', () => {
    expect(capture({ isTTY: true }).terminal.isLive).toBe(true)
    expect(capture({ isTTY: true }, { TERM: 'dumb' }).terminal).toMatchObject({
      isLive: false,
      view: { unicode: false },
    })
    expect(capture().terminal.isLive).toBe(false)
  })
})

describe('Screen', () => {
  it('draws over what it drew, hides the cursor meanwhile, and leaves the last drawing', () => {
    const { terminal, written } = capture()
    const screen = new Screen(terminal)
    screen.draw(['one', 'two'])
    screen.draw(['one'])
    screen.close(['done'])
    expect(written.out).toBe(
      '\x1b[?25lone\x1b[K\ntwo\x1b[K\n\x1b[J' + '\x1b[2Fone\x1b[K\n\x1b[J' + '\x1b[1Fdone\x1b[K\n\x1b[J' + '\x1b[?25h',
    )
  })

  it('writes nothing where it never drew', () => {
    const { terminal, written } = capture()
    new Screen(terminal).close()
    expect(written.out).toBe('')
  })
})
