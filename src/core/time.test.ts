import { describe, expect, it } from 'vitest'
import { formatDuration, instant, milliseconds, relativeInstant } from './time.ts'

const century = 100 * 365.25 * 86_400_000

describe('milliseconds', () => {
  it.each([
    [0, 0],
    [-0, 0],
    [1500, 1500],
    [0.2, 1],
    ['320ms', 320],
    ['90s', 90_000],
    ['5m', 300_000],
    ['1.5h', 5_400_000],
    ['.5d', 43_200_000],
    ['2w', 1_209_600_000],
    ['0.0001ms', 1],
    [century, century],
  ] as const)('takes %s', (duration, ms) => {
    expect(milliseconds(duration, 'timeout')).toBe(ms)
  })

  const refused: readonly (readonly [unknown, string])[] = [
    [-1, 'is negative'],
    ['-5m', 'is negative'],
    [Number.NaN, 'is not a number'],
    [Number.POSITIVE_INFINITY, 'is more than 100 years'],
    [century + 1, 'is more than 100 years'],
    ['6000w', 'is more than 100 years'],
    [`${'9'.repeat(400)}s`, 'is more than 100 years'],
    ...['5 minutes', '5', '', 'm', '5 m', ' 5m', '5m\n', '1e3ms', '0x5m', 'Infinitym', '5M', '1h30m'].map(
      (text) => [text, 'is not a duration'] as const,
    ),
    ...[null, undefined, {}, [5], 5n, true, new Date(0), { toString: null }].map(
      (value) => [value, 'is not a duration'] as const,
    ),
  ]
  it.each(refused)('refuses %o', (duration, problem) => {
    const call = (): number => milliseconds(duration as number, 'math.add: timeout')
    expect(call).toThrow(expect.objectContaining({ code: 'BAD_DURATION' }))
    expect(call).toThrow(problem)
  })

  it('says what is wrong where, and what to write', () => {
    expect(() => milliseconds('5 minutes' as '5m', 'math.add: timeout')).toThrow(
      "math.add: timeout: '5 minutes' is not a duration; give milliseconds, or a number with one of ms, s, m, h, d, w, such as '5m'",
    )
  })
})

describe('instant', () => {
  const noon = Date.UTC(2026, 2, 1, 12)
  it.each([
    [new Date(noon), noon],
    [noon, noon],
    [noon + 0.5, noon + 1],
    [-1, -1],
    ['2026-03-01T12:00:00Z', noon],
    ['2026-03-01T14:00+02:00', noon],
    ['2026-03-01T12:00:00.250Z', noon + 250],
    ['2026-03-01', noon - 12 * 3_600_000],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
  ])('takes %s', (value, ms) => {
    expect(instant(value, 'startAt')).toBe(ms)
  })

  it.each([
    ...[
      '',
      'tomorrow',
      '1',
      '2026',
      '2026-13-01',
      '2026-02-30',
      '2026-02-30T10:00Z',
      '2027-02-29',
      '2026-03-01T25:00Z',
    ],
    ...['2026-03-01T12:00+99:00', 'x2026-03-01', '2026-03-01Z', '-1h', 'Sun Mar 01 2026'],
    ...[Number.NaN, Number.POSITIVE_INFINITY, 9e15, new Date(Number.NaN), null, undefined, {}, true, 5n],
  ])('refuses %o', (value) => {
    expect(() => instant(value as string, 'startAt')).toThrow(expect.objectContaining({ code: 'BAD_INSTANT' }))
  })

  it('does not guess a time zone', () => {
    expect(() => instant('2026-03-01T12:00', 'startAt')).toThrow(/^startAt: .* has no time zone: end it with Z, or/)
  })
})

describe('relativeInstant', () => {
  it('tells from now what has a sign, and takes instants', () => {
    expect(relativeInstant('-1h', 'after', 5_000_000)).toBe(1_400_000)
    expect(relativeInstant('+5m', 'after', 5_000_000)).toBe(5_300_000)
    expect(relativeInstant('1970-01-02', 'after', 5_000_000)).toBe(86_400_000)
    expect(relativeInstant(new Date(7), 'after', 5_000_000)).toBe(7)
    expect(relativeInstant(-7, 'after', 5_000_000)).toBe(-7)
  })

  it('refuses the rest by what it seems to be', () => {
    expect(() => relativeInstant('-1hour', 'after', 0)).toThrow(expect.objectContaining({ code: 'BAD_DURATION' }))
    expect(() => relativeInstant('--1h', 'after', 0)).toThrow(expect.objectContaining({ code: 'BAD_DURATION' }))
    expect(() => relativeInstant('1h', 'after', 0)).toThrow(expect.objectContaining({ code: 'BAD_INSTANT' }))
  })
})

describe('formatDuration', () => {
  it.each([
    [0, '0 ms'],
    [0.4, '0 ms'],
    [320, '320 ms'],
    [999.4, '999 ms'],
    [999.5, '1.0 s'],
    [1000, '1.0 s'],
    [4249, '4.2 s'],
    [9949, '9.9 s'],
    [9960, '10 s'],
    [59_499, '59 s'],
    [59_500, '1m 00s'],
    [65_000, '1m 05s'],
    [3_599_499, '59m 59s'],
    [3_599_500, '1h 00m'],
    [7_380_000, '2h 03m'],
    [86_369_999, '23h 59m'],
    [86_370_000, '1d 00h'],
    [273_600_000, '3d 04h'],
    [-65_000, '-1m 05s'],
  ])('%d ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })
})
