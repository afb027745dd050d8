import type { StandardSchemaV1 } from '@standard-schema/spec'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { validate } from './schema.ts'

const Size = z.object({ width: z.number(), unit: z.string().default('px') })

/** A schema by hand, for what no library does on purpose. */
function schemaOf(check: (value: unknown) => unknown): StandardSchemaV1 {
  return { '~standard': { version: 1, vendor: 'test', validate: check as StandardSchemaV1['~standard']['validate'] } }
}
const doubling = schemaOf((value) => ({ value: (value as number) * 2 }))
const later = schemaOf((value) => Promise.resolve({ value: [value] }))

describe('validate', () => {
  it('gives what the schema made of one argument', () => {
    expect(validate(Size, [{ width: 3 }], 'images.resize')).toEqual([{ width: 3, unit: 'px' }])
  })

  it('gives each argument to its own schema, also one that was left out', () => {
    expect(validate([doubling, z.string(), z.number().default(7)], [2, 'x'], 'it')).toEqual([4, 'x', 7])
    expect(validate([], [], 'it')).toEqual([])
  })

  it('answers at once unless a schema does not', async () => {
    const parsed = validate([doubling, later, doubling], [1, 2, 3], 'it')
    expect(parsed).toBeInstanceOf(Promise)
    expect(await parsed).toEqual([2, [2], 6])
  })

  it('takes a schema that is a function', () => {
    expect(
      validate(
        Object.assign(() => 1, doubling),
        [4],
        'it',
      ),
    ).toEqual([8])
  })

  it('lists every issue with its path', () => {
    const call = (): unknown =>
      validate([Size, z.array(z.string())], [{ width: 'wide' }, ['a', 5, null]], 'images.resize')
    expect(call).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENTS' }))
    expect(call).toThrow(/^images\.resize: args\[0\]\.width: .+; args\[1\]\[1\]: .+; args\[1\]\[2\]: .+$/)
  })

  it('reads paths as keys, as segments, and not at all', () => {
    const issues = [{ message: 'a', path: ['x', { key: 0 }, { key: 'y z' }] }, { message: 'b' }]
    expect(() =>
      validate(
        schemaOf(() => ({ issues })),
        [1],
        'it',
      ),
    ).toThrow('it: args[0].x[0]["y z"]: a; args[0]: b')
  })

  it('does not list thousands', () => {
    const issues = Array.from({ length: 5000 }, () => ({ message: 'no' }))
    expect(() =>
      validate(
        schemaOf(() => ({ issues })),
        [1],
        'it',
      ),
    ).toThrow(/^it: (args\[0\]: no; ){20}and 4980 more$/)
  })

  it('refuses arguments that no schema is there for', () => {
    expect(() => validate(Size, [{ width: 3 }, 4], 'it')).toThrow('it: it takes 1 argument, not 2')
    expect(() => validate([doubling, doubling], [1, 2, 3], 'it')).toThrow('it: it takes 2 arguments, not 3')
  })

  it('takes a schema that throws, or breaks its promise, for one that refuses', async () => {
    const throwing = schemaOf((value) => ({ value: JSON.parse(value as string) as unknown }))
    expect(() => validate(throwing, ['{'], 'it')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENTS' }))
    expect(() => validate(throwing, ['{'], 'it')).toThrow(/^it: args\[0\]: the schema threw .*JSON/)
    // Zod tries again without haste when something throws at once.
    const transforming = z.string().transform((text) => JSON.parse(text) as unknown)
    await expect(validate(transforming, ['{'], 'it')).rejects.toThrow(/^it: args\[0\]: the schema threw .*JSON/)
    const rejecting = schemaOf(() => Promise.reject(new Error('no database')))
    const parsed = validate([later, rejecting, rejecting], [1, 2], 'it')
    await expect(parsed).rejects.toThrow(
      'it: args[1]: the schema threw no database; args[2]: the schema threw no database',
    )
    expect(() =>
      validate(
        schemaOf(() => undefined),
        [1],
        'it',
      ),
    ).toThrow(/the schema threw/)
  })
})
