import type { CollectionSnapshot, JobSnapshot } from '../core/handle.ts'
import { drawSection, type Row } from './section.ts'
import type { View } from './view.ts'

/** The result of what succeeded, in a few lines; nothing for the rest. */
export function drawResult(of: CollectionSnapshot | JobSnapshot, view: View): string[] {
  return of.state === 'succeeded' && of.result !== undefined ? ['', ...drawSection([resultRow(of.result)], view)] : []
}

export const resultRow = (result: unknown): Row => ({ title: 'result', text: JSON.stringify(result), most: 8 })
