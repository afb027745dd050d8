import { feedEvents } from '../../app/feed-events.ts'
import type { FollowTerms } from '../../app/events.ts'
import type { FeedEvent } from '../../core/handle.ts'
import { demandMany, type Identity } from '../identity.ts'
import type { Service } from '../route.ts'

/** Whatever happens to what this one may see. @throws RequestError FORBIDDEN */
export function followFeed(
  { connect, owners }: Pick<Service, 'connect' | 'owners'>,
  identity: Identity,
  options: FollowTerms,
): AsyncIterable<FeedEvent> {
  demandMany(identity)
  const { actor } = identity
  return feedEvents(connect, actor === null ? null : { actor, owners }, options)
}
