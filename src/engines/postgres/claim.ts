import { argumentsPerClaim, endlessSpan, shortResult, surelyFit } from '../../engine/limits.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest, JobInput } from '../../engine/work.ts'
import { entryOf, oneMore, rankOf, runOf } from './change.ts'
import { briefly, patiently } from './held.ts'
import { anywhere, nameOf } from './line.ts'
import { roleName } from '../../engine/codes.ts'
import { readOptions } from '../../engine/job-options.ts'
import { isSentAgain, type Requests, type Value } from './database.ts'
import { readInput } from './gather.ts'

/** What this engine wants to be told again of a job that was claimed. None of it changes while the job runs. */
export interface Ref {
  readonly seq: number
  readonly collection: number
  readonly attempt: number
  readonly version: number
  readonly role: number
  readonly feeds: number | null
  readonly scope: number | null
  readonly depth: number
  readonly session: number
}
export const isAlone = ({ seq, collection }: Ref): boolean => seq === collection

export type ClaimRow = readonly [
  seq: number | null,
  collection: number,
  attempt: number,
  version: number,
  role: number,
  feeds: number | null,
  scope: number | null,
  depth: number,
  id: string,
  task: string,
  queue: string,
  args: string,
  options: string | null,
  round: number,
  failures: number,
  createdAt: number,
  deadlineAt: number | null,
  collectionId: string,
  actor: string | null,
  behind: number | null,
  input: string | null,
  result: string | null,
]

export interface Claimed {
  readonly answer: ClaimAnswer
  readonly bits: number
  readonly place: string | null
  /** The instant by the store's clock. */
  readonly now: number
}

export async function claim(
  requests: Requests,
  now: number | null,
  request: ClaimRequest,
  place: string | null,
  name: 'claim' | 'claim_free' = 'claim',
): Promise<Claimed> {
  return claimedIn(await requests.call<ClaimRow>(name, now, ...claimValues(request, place)), request)
}

export const claimValues = (
  { session, token, limit, queues, isRepeated }: ClaimRequest,
  place: string | null,
): Value[] => [session, token, limit, queues, place, isRepeated === true ? true : isSentAgain]

/** The first row is about the claim itself. */
export function claimedIn([first, ...rows]: readonly ClaimRow[], { token }: ClaimRequest): Claimed {
  const [, bits, , , , , , , place, , , , , , , now, nextAt, , , session] = first as ClaimRow
  const about = { token, session: session as number, now }
  return { answer: { jobs: rows.map((row) => claimedJob(row, about)), nextAt }, bits, place, now }
}

interface About {
  readonly token: number
  readonly session: number
  readonly now: number
}

function claimedJob(row: ClaimRow, { token, session, now }: About): ClaimedJob {
  const [seq, collection, attempt, version, role, feeds, scope, depth, id, task, queue, args, options, round] = row
  const [, , , , , , , , , , , , , , failures, createdAt, deadlineAt, collectionId, actor] = row
  return {
    ref: { seq: seq as number, collection, attempt, version, role, feeds, scope, depth, session } satisfies Ref,
    token,
    id,
    collectionId,
    task,
    args,
    role: roleName(role),
    attempt,
    failures,
    round,
    queue,
    options: readOptions(options),
    actor: actor === null ? null : { id: actor },
    depth,
    createdAt,
    deadlineAt,
    input: inputIn(row, now),
  }
}

/** One short result comes as it is, everything else as JSON. */
function inputIn(row: ClaimRow, now: number): JobInput {
  const [behind, input, result] = [row[19], row[20], row[21]]
  if (input === null) return nothing
  if (!input.startsWith('r')) return readInput(input, now)
  return { from: 'results', shape: input.slice(1), barrier: behind, results: [{ json: result }] }
}
const nothing: JobInput = { from: 'nothing' }

const columns = `
  j.seq, j.collection, j.attempt, j.version, j.role::integer, j.feeds, j.scope, j.depth, j.id, j.task, j.queue, j.args, j.options, j.round,
    j.failures, j.created_at, j.deadline_at`
/** A job whose worker died comes first, as it is taken singly. */
const inOrder = 'order by (j.crashes > 0) desc, j.priority desc, j.collection, j.seq'
const taken = `
  select ${columns}, coalesce(n.id, o.id, j.id), coalesce(n.actor, o.actor, j.actor), j.behind,
    case when j.input is null or r.is_short then j.input else celeriac.read_input(j.seq, j.collection, j.input, j.behind, cardinality(v_seqs)) end, r.result
  from claimed j
    left join lateral (select id, actor from celeriac.collections where number = j.collection and j.collection <> j.seq offset 0) n on true
    left join lateral (select id, actor from celeriac.jobs where seq = j.collection and n.id is null and j.collection <> j.seq offset 0) o on true
    left join lateral (
      select f.result, true as is_short from celeriac.barriers b join celeriac.jobs f on f.feeds = b.number
      where b.number = j.behind and j.input like 'r%' and b.inputs = 1 and f.continuation is null and f.archived is null
        and coalesce(length(f.result), 0) <= ${shortResult} offset 0) r on true
  ${inOrder}`
/** Of jobs alone there is nothing more to look up, and preparing to takes longer than they do. */
const takenAlone = `
  select ${columns}, j.id, j.actor, j.behind,
    case when j.input is not null then celeriac.read_input(j.seq, j.collection, j.input, j.behind, cardinality(v_seqs)) end, null::text
  from claimed j ${inOrder}`

/** Puts jobs to work and notes it. */
const startOf = (entries: string, itsKeys: string, isFree: boolean): string => `
  with claimed as materialized (
    update celeriac.jobs j set state = 3, session = v_session, token = a_token, attempt = ${oneMore('j.attempt')}, version = ${oneMore('j.version')},
      started_at = v_now, deadline_at = case when j.timeout < ${endlessSpan} then v_now + j.timeout end, lapses_at = null, finished_at = null, progress = null
    where j.seq = any(v_seqs) and j.state = 2 returning j.*
  ),
  kept as (
    insert into celeriac.claims (session, token, claimed_at, running, seqs)
    select v_session, a_token, v_now, count(*), array_agg(seq) from claimed having count(*) > 0
  ),
  told as (
    insert into celeriac.events (number, at, changes)
    select nextval('celeriac.event_numbers'), v_now, concat('[', ${entries}, ']') from claimed having count(*) > 0
  ),
  started as (
    delete from celeriac.unique_keys where ${isFree ? 'ctid = any(array(select ctid from celeriac.unique_keys where ' : ''}until = 'started' and collection in (
      select collection from claimed where ${itsKeys})${isFree ? ' for update skip locked))' : ''}
  )`
const entries = `string_agg(${entryOf}, ',' order by priority desc, collection, seq)`

const place =
  'v_place := case when a_place is null then celeriac.whole_place(a_queues) else celeriac.next_place(a_place::celeriac.place, a_queues) end;'

/** What expired waits where somebody holds what follows from it; what is due does not. */
const moveDueFree = `begin
      v_bits := celeriac.move_due(v_now, v_place);
    exception when lock_not_available then
      v_place.lapses_at := null;
      v_bits := celeriac.move_due(v_now, v_place);
    end;`

export const claimColumns = `seq bigint, collection bigint, attempt integer, version integer, role integer, feeds bigint, scope bigint, depth integer,
  id text, task text, queue text, args text, options text, round integer, failures integer, created_at bigint, deadline_at bigint,
  collection_id text, actor text, behind bigint, input text, result text`

const claiming = (isFree: boolean): string => `
-- Gives a row about the claim itself (bits, instant, nextAt, session and place) and one for each job.
create or replace function celeriac.${nameOf('claim', isFree)}(
  a_now bigint, a_session text, a_token bigint, a_limit integer, a_queues text[], a_place text, a_is_again boolean
) returns table (${claimColumns}) language plpgsql ${isFree ? briefly : patiently} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_session bigint;
  v_seqs bigint[];
  v_are_alone boolean;
  v_has_suspects boolean;
  v_place celeriac.place;
  v_bits integer := 0;
  v_is_cut boolean := false;
  r record;
begin
  select s.number, k.seqs, exists (select 1 from celeriac.suspects)
  into v_session, v_seqs, v_has_suspects
  from celeriac.sessions s left join celeriac.claims k on k.session = s.number and k.token = a_token
  where s.id = a_session and s.ended_at is null;
  collection := 0;
  if v_session is null then
    id := a_place;
    return next;
    return;
  end if;
  ${place}
  -- What is due is queued, and what has expired ended.
  if v_place.due_at <= v_now or v_place.lapses_at <= v_now then
    ${isFree ? moveDueFree : 'v_bits := celeriac.move_due(v_now, v_place);'}
    -- From where it was before: of this transaction's own changes a snapshot taken within it does not tell.
    ${place}
    v_has_suspects := v_has_suspects or exists (select 1 from celeriac.suspects);
  end if;
  if v_place.due_at is not null then
    v_place.due_at := (select due_at from celeriac.jobs where due_at >= v_place.due_at order by due_at limit 1);
  end if;
  if v_place.lapses_at is not null then
    v_place.lapses_at := (select lapses_at from celeriac.jobs where lapses_at >= v_place.lapses_at order by lapses_at limit 1);
  end if;
  if v_seqs is null then
    select s.* into r from celeriac.${nameOf('take', isFree)}(v_session, a_limit, a_queues, v_has_suspects,
      -- Only some are ended in a call, and of those that others hold none: what is left must not start.
      case when v_place.lapses_at <= v_now then v_now end, v_place) s;
    v_place := r.place;
    v_seqs := r.seqs;
    v_are_alone := r.are_alone;
    if v_seqs is not null then v_bits := v_bits | 2; end if;
    if cardinality(v_seqs) > ${surelyFit} then
      select s.* into r from celeriac.leave_large(v_now, v_seqs) s;
      v_seqs := r.seqs;
      v_is_cut := r.is_cut;
      if v_is_cut then v_bits := v_bits | 1; end if;
    end if;
  else
    v_bits := v_bits | 16;
  end if;
  -- What was let go while this call was looking is seen by it, and must not start before it was let go.
  v_now := celeriac.instant(a_now);
  collection := v_bits;
  created_at := v_now;
  deadline_at := case when v_is_cut then v_now else v_place.due_at end;
  behind := v_session;
  -- What was put back is found from where this call began: the snapshot of its place does not tell of its own changes.
  id := case when v_is_cut then a_place else v_place::text end;
  return next;
  if v_seqs is null then
    -- Should what was asked first come only now, it finds that its token was used.
    if a_is_again then insert into celeriac.claims (session, token, claimed_at, running, seqs) values (v_session, a_token, v_now, 0, '{}'); end if;
    return;
  end if;
  if v_bits & 16 <> 0 then
    -- Asked again because its answer was lost: what still runs of it.
    return query with claimed as (
      select * from celeriac.jobs j where j.seq = any(v_seqs) and j.state = 3 and j.session = v_session and j.token = a_token
    ) ${taken} limit a_limit;
    return;
  end if;
  if v_are_alone then
    return query ${startOf(runOf('claimed', entries, 'priority'), 'unique_claim is not null', isFree)} ${takenAlone};
  else
    return query ${startOf(entries, 'unique_claim is not null or collection <> seq', isFree)} ${taken};
  end if;
end $$;
`

export const claimFunctions = `
-- Puts the jobs back in line whose arguments one claim does not bring. Others may have passed them meanwhile, so all claims look anew.
create or replace function celeriac.leave_large(a_now bigint, inout seqs bigint[], out is_cut boolean) language plpgsql as $$
#variable_conflict use_column
begin
  is_cut := (select sum(octet_length(args)) from celeriac.jobs where seq = any(seqs)) > ${argumentsPerClaim};
  if not is_cut then return; end if;
  with sized as (
    select seq, queue, priority, collection, crashes, row_number() over line as nth, sum(octet_length(args)) over line as size
    from celeriac.jobs j where seq = any(seqs) window line as (${inOrder})
  ),
  left_there as (
    insert into celeriac.ready (queue, rank, collection, seq)
    select queue, ${rankOf('priority')}, collection, seq from sized where nth > 1 and size > ${argumentsPerClaim} and crashes = 0 returning seq
  )
  select array(select seq from sized where seq not in (select seq from left_there) order by nth) into seqs;
  insert into celeriac.events (number, at, changes, heads) values (nextval('celeriac.event_numbers'), a_now, '[]', array[${anywhere}]);
end $$;
${claiming(false)}${claiming(true)}`
