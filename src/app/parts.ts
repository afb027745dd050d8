import type { CanvasNode } from '../canvas/node.ts'
import type { SubmitTerms } from '../core/call-options.ts'
import { CeleriacError } from '../core/errors.ts'
import { readable } from '../core/option.ts'
import type { CallbackSettings } from './callback-settings.ts'
import type { Access } from './handles.ts'
import type { ToldCollection } from './snapshots.ts'
import type { SubmissionContext } from './submission.ts'

/** What an app is made of, for the parts of this package that work with one: the worker, the command line. */
export interface AppParts extends SubmissionContext, Access {
  readonly callbacks: CallbackSettings
  /** What `app.submit` does. */
  submit(node: CanvasNode, terms: SubmitTerms): Promise<Submitted>
}

/** A canvas that is stored. */
export interface Submitted {
  readonly id: string
  /** How it stands in the store now; null where only the store can tell: it was there before, or something was decided at once. */
  asStored(): Promise<ToldCollection | null>
}

/** Where an app keeps its parts. A registered symbol, because two copies of this package may meet in one process. */
export const parts: unique symbol = Symbol.for('celeriac.parts')

/** @throws CeleriacError NOT_AN_APP */
export function partsOf(app: unknown): AppParts {
  const look = (): unknown => (typeof app === 'object' && app !== null && parts in app ? app[parts] : undefined)
  const found = readable('the app', look, 'NOT_AN_APP')
  if (found) return found as AppParts
  throw new CeleriacError(
    'NOT_AN_APP',
    'This is not an app: make one with new Celeriac(…), and export it from its module.',
  )
}
