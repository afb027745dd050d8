import type { Heartbeat } from '../engine/work.ts'
import type { Attempt, News } from './attempt.ts'

/** Progress, log lines and notes of one attempt, or some of them: as much as goes into one request. */
export type NewsPart = Omit<News, 'droppedCount'> & { readonly attempt: Attempt }

/** Maximum size of the news in one heartbeat, in characters. One line or note may be larger by itself. */
const mostBytes = 4 * 1024 * 1024

/** Takes what these attempts have to tell, divided into requests, in order. */
export function partsOfNews(tellers: Iterable<Attempt>): NewsPart[][] {
  const requests: NewsPart[][] = []
  let left = 0
  for (const attempt of tellers) {
    for (const item of itemsOf(attempt, attempt.takeNews())) {
      const size = sizeOf(item)
      if (requests.length === 0 || size > left) {
        requests.push([])
        left = mostBytes
      }
      left -= size
      requests.at(-1)!.push(item)
    }
  }
  return requests
}

/** The same in two requests; none where it is a single item, which cannot be divided. */
export function halvesOfNews(news: readonly NewsPart[]): NewsPart[][] {
  if (news.length < 2) return []
  const middle = news.length >> 1
  return [news.slice(0, middle), news.slice(middle)]
}

/** One line, note or progress each. */
function itemsOf(attempt: Attempt, { progress, lines, notes }: News): NewsPart[] {
  const none = { attempt, progress: null, lines: [], notes: [] }
  return [
    ...lines.map((line) => ({ ...none, lines: [line] })),
    ...notes.map((note) => ({ ...none, notes: [note] })),
    ...(progress === null ? [] : [{ ...none, progress }]),
  ]
}

function sizeOf({ progress, lines, notes }: NewsPart): number {
  let size = progress?.message?.length ?? 0
  for (const { message, data } of lines) size += message.length + (data?.length ?? 0)
  for (const { name, value } of notes) size += name.length + value.length
  return size
}

/** These parts as a heartbeat carries them. */
export function carried(news: readonly NewsPart[]): Pick<Heartbeat, 'progress' | 'log' | 'notes'> {
  return {
    progress: news.flatMap(({ attempt: { job }, progress }) =>
      progress === null ? [] : [{ ref: job.ref, token: job.token, progress }],
    ),
    log: news.flatMap(({ attempt: { job }, lines }) => lines.map((line) => ({ ref: job.ref, token: job.token, line }))),
    notes: news.flatMap(({ attempt: { job }, notes }) =>
      notes.map((note) => ({ ref: job.ref, token: job.token, note })),
    ),
  }
}
