/**
 * Numbered, never edited once published, safe while workers of the version before run. Every name begins with
 * `celeriac_`, so the tables may live in a file that the user keeps other things in.
 *
 * Finished jobs stand in no index but those of their own id and collection: an index over them alone cost a quarter of
 * the throughput. Jobs, barriers and collections take their numbers from one counter and never give them back: events
 * name them by number.
 */
export const migrations: readonly string[] = [
  `
create table celeriac_meta (key text primary key, value any) strict, without rowid;

create table celeriac_jobs (
  seq integer primary key,
  id text not null unique,
  -- The number of its collection. A job alone is its own: collection = seq.
  collection integer not null,
  state integer not null check (state between 0 and 7),
  task text not null,
  queue text not null,
  priority integer not null,
  created_at integer not null,
  version integer not null default 1,
  attempt integer not null default 0,
  round integer not null default 1,
  failures integer not null default 0,
  -- How strongly it is suspected of ending its workers.
  crashes integer not null default 0,
  role integer not null default 0,
  retention integer,
  args text not null,
  options text,
  -- What it stands behind, what it feeds, and what is put before its arguments.
  input text,
  behind integer,
  fit integer not null default 0,
  feeds integer,
  scope integer,
  -- The job that continued as the canvas this one belongs to; the barrier at the end of the canvas this one continued as,
  -- and how the results there nest.
  parent integer,
  depth integer not null default 0,
  continuation integer,
  shape text,
  -- Moved to history by a retry of everything.
  archived integer,
  start_in integer,
  due_at integer,
  expires_at integer,
  timeout integer,
  session integer,
  token integer,
  started_at integer,
  deadline_at integer,
  marked_at integer,
  finished_at integer,
  reason integer,
  -- The job whose failure this one has: itself, or the one that caused it to be skipped or to fail.
  cause integer,
  progress text,
  failure text,
  result text,
  actor text,
  description text,
  tags text,
  unique_claim text
) strict;
create index celeriac_jobs_queued on celeriac_jobs (queue, priority desc, collection, seq) where state = 2 and crashes = 0;
create index celeriac_jobs_suspect on celeriac_jobs (queue, priority desc, collection, seq) where state = 2 and crashes > 0;
create index celeriac_jobs_running on celeriac_jobs (session, token) where state = 3;
create index celeriac_jobs_scheduled on celeriac_jobs (due_at) where state = 1;
create index celeriac_jobs_waiting on celeriac_jobs (behind) where state = 0;
create index celeriac_jobs_expiring on celeriac_jobs (expires_at) where expires_at is not null and state in (1, 2);
create index celeriac_jobs_together on celeriac_jobs (collection) where collection <> seq;
create index celeriac_jobs_feeding on celeriac_jobs (feeds) where feeds is not null;
create index celeriac_jobs_inside on celeriac_jobs (parent) where parent is not null;
-- Side branches and callbacks that are not over: while there is one, its collection is not removed.
create index celeriac_jobs_aside on celeriac_jobs (collection) where role <> 0 and state < 4 and archived is null;

create table celeriac_collections (
  number integer primary key,
  id text not null unique,
  state integer not null check (state between 0 and 3),
  round integer not null default 1,
  exit integer not null,
  shape text not null,
  created_at integer not null,
  settled_at integer,
  cancelled_at integer,
  -- Out of sight: its rows are being removed. A job alone that continued gives its place to such a row.
  removed_at integer,
  description text,
  actor text,
  tags text,
  callback_url text,
  callback_results text,
  retention integer,
  unique_claim text
) strict;

create table celeriac_barriers (
  number integer primary key,
  collection integer not null,
  inputs integer not null,
  pending integer not null check (pending >= 0),
  failed integer not null default 0,
  decided integer not null default 0,
  cause integer,
  feeds integer,
  gate integer,
  -- At the end: of the canvas that this job continued as, or (1) of the collection.
  continues integer,
  settles integer not null default 0
) strict;
create index celeriac_barriers_together on celeriac_barriers (collection);
create index celeriac_barriers_feeding on celeriac_barriers (feeds) where feeds is not null;

-- Attempts that ended; the one that a job is in, or that it ended with, stands on the job itself.
create table celeriac_attempts (
  job integer not null,
  attempt integer not null,
  round integer not null,
  session integer,
  started_at integer not null,
  finished_at integer not null,
  outcome integer not null,
  failure text,
  primary key (job, attempt)
) strict, without rowid;

create table celeriac_log (
  number integer primary key,
  job integer not null,
  attempt integer not null,
  at integer not null,
  level text not null,
  message text not null,
  data text
) strict;
create index celeriac_log_job on celeriac_log (job);

-- What a job keeps by name for its later attempts, as JSON text.
create table celeriac_notes (
  job integer not null,
  name text not null,
  value text not null,
  primary key (job, name)
) strict, without rowid;

-- One row for each call that changed something. The newest row is never trimmed, so numbers are never used again.
create table celeriac_events (
  number integer primary key,
  at integer not null,
  changes text not null,
  payloads text,
  -- The first number not taken yet: jobs, barriers and collections are numbered by the row that tells of them.
  next integer not null,
  -- The characters of all events up to and with this one.
  total integer not null
) strict;

create table celeriac_sessions (
  number integer primary key,
  id text not null unique,
  name text not null,
  host text not null,
  pid integer not null,
  queues text,
  concurrency integer not null,
  started_at integer not null,
  seen_at integer not null,
  expires_at integer not null,
  ended_at integer,
  lost integer not null default 0,
  -- While its jobs are given back: who is to blame for its death.
  losing integer
) strict;
create index celeriac_sessions_ended on celeriac_sessions (ended_at);
create index celeriac_sessions_losing on celeriac_sessions (losing) where losing is not null;

-- Settings of queues. One that has none has no row: a queue is there while a job names it.
create table celeriac_queues (name text primary key, paused integer not null) strict, without rowid;

-- A key held until a time outlives its collection: the id stands here, too.
create table celeriac_unique (
  key text primary key,
  collection integer not null,
  collection_id text not null,
  until text not null,
  expires_at integer
) strict, without rowid;
create index celeriac_unique_collection on celeriac_unique (collection);
create index celeriac_unique_expiring on celeriac_unique (expires_at) where expires_at is not null;

create table celeriac_idempotency (
  scope text not null,
  key text not null,
  fingerprint text not null,
  collection_id text not null,
  expires_at integer not null,
  primary key (scope, key)
) strict, without rowid;
create index celeriac_idempotency_expiring on celeriac_idempotency (expires_at);

-- Collections and jobs alone that settled, by when their retention ends: their numbers as runs (12-40,55), a row for each call
-- and retention. A row may be out of date, so what it names is looked at again before anything is removed.
create table celeriac_leaving (
  due_at integer not null,
  runs text not null,
  primary key (due_at, runs)
) strict, without rowid;

-- Graphs that are being uploaded: their rows are there, between two numbers, and not to be seen yet.
create table celeriac_uploads (
  id text primary key,
  collection integer not null,
  first integer not null,
  last integer not null,
  created_at integer not null,
  touched_at integer not null
) strict, without rowid;

-- What is left to do of large changes. not_before: what failed is tried again from then on, and holds up nothing else.
create table celeriac_work (
  number integer primary key,
  kind integer not null,
  subject integer not null,
  detail integer not null default 0,
  after integer not null default 0,
  not_before integer not null default 0
) strict;

insert into celeriac_events (at, changes, next, total) values (0, '[]', 1, 0);
insert into celeriac_meta (key, value) values ('epoch', lower(hex(randomblob(6)))), ('swept_at', 0), ('calm_until', 0);
`,
  `
-- Small texts that processes share; expires_at: no longer given from then on, and removed by a sweep.
create table celeriac_values (
  kind text not null,
  id text not null,
  text text not null,
  expires_at integer,
  primary key (kind, id)
) strict, without rowid;
create index celeriac_values_expiring on celeriac_values (expires_at) where expires_at is not null;

-- What attempts came to, for each minute, task and session.
create table celeriac_tallies (
  minute integer not null,
  task text not null,
  session integer not null,
  succeeded integer not null,
  failed integer not null,
  retried integer not null,
  cancelled integer not null,
  ran integer not null,
  longest integer not null,
  primary key (minute, task, session)
) strict, without rowid;
`,
  `
-- Every list asks of every job whether it belongs to an upload.
create index celeriac_uploads_first on celeriac_uploads (first, last);
`,
]
