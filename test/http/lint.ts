import { createConfig, lintFromString } from '@redocly/openapi-core'
import { Validator } from '@seriousme/openapi-schema-validator'
import { expect } from 'vitest'

/**
 * Fails where the document is none of OpenAPI, or a linter finds in it what generators of clients stumble over.
 *
 * @param rules `spec`: only what the standard demands, of documents that are examples
 */
export async function expectLinted(document: object, rules: 'recommended' | 'spec' = 'recommended'): Promise<void> {
  expect(await new Validator().validate(structuredClone(document) as never)).toEqual({ valid: true })
  const config = await createConfig({ extends: [rules] })
  const found = await lintFromString({ source: JSON.stringify(document), config, absoluteRef: '/openapi.json' })
  expect(found.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([])
}
