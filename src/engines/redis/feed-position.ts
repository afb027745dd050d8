import { cursorAt } from './feed.ts'
import { record, type Rows } from './record.ts'
import { part } from './scripts.ts'

/** `keepPosition` fetches where the feed stands: a reader goes on from there. */
export const position = part(
  `
local function keepPosition()
  keep('epoch', call('HGET', P .. 'meta', 'epoch') or '')
  keep('end', call('GET', P .. 'events-end') or '0')
end
`,
  record,
)

export const cursorIn = (rows: Rows): string => cursorAt(rows.get('epoch') ?? '', rows.get('end') ?? '0')
