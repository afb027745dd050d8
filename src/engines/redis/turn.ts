import {
  choreInterval,
  faultKept,
  faultShown,
  type KeptFault,
  type KnownFault,
  longestCalm,
  turnLength,
} from '../../engine/recovery.ts'
import { calm } from './calm.ts'
import type { Database } from './database.ts'
import { part, reading, type Runs } from './scripts.ts'
import { writing } from './work.ts'

/**
 * `takeTurn()` takes the turn of recovery and upkeep, unless another process had one a moment ago and nothing was foreseen since. After
 * a gap longer than the shortest lease (the machine slept, no process was there, the clock was set, another server took over) every
 * session looks dead and every deadline past. So each session gets its own lease from now, and each running job its time-out, before
 * anything is decided by the clock. `calmAt`: when the last gap ended. `takeChores()`: whether the round of chores is due.
 */
export const turns = part(
  `
local calmAt = tonumber(call('HGET', P .. 'meta', 'calmAt') or 0)
-- The clock went back: no session lives longer for it than its own lease from now.
local function stepBack(by)
  for _, session in ipairs(call('ZRANGE', P .. 'alive', 0, -1)) do
    local seenAt, lease = tonumber(call('HGET', P .. 'session:' .. session, 'seenAt')), call('ZSCORE', P .. 'leases', session)
    if seenAt and lease and seenAt > now then
      call('ZADD', P .. 'alive', now + lease, session)
      call('HSET', P .. 'session:' .. session, 'seenAt', now, 'expiresAt', now + lease)
    end
  end
  for _, name in ipairs({'calmAt', 'calmUntil', 'choresAt'}) do
    if tonumber(call('HGET', P .. 'meta', name) or 0) > now then call('HSET', P .. 'meta', name, now) end
  end
  calmAt = math.min(calmAt, now)
  call('HSET', P .. 'meta', 'steppedAt', now, 'steppedBy', by)
end
local function takeTurn()
  local sweptAt, sweepAt = unpack(call('HMGET', P .. 'meta', 'sweptAt', 'sweepAt'))
  sweptAt, sweepAt = tonumber(sweptAt or 0), tonumber(sweepAt or nil)
  if sweptAt <= now and now < math.min(sweptAt + ${turnLength}, sweepAt or math.huge) then return false end
  if now < sweptAt then stepBack(sweptAt - now) end
  if S.isGap(sweptAt) then
    local longest = call('ZREVRANGE', P .. 'leases', 0, 0, 'WITHSCORES')[2]
    call('HSET', P .. 'meta', 'calmAt', now, 'calmUntil', now + math.min(longest, ${longestCalm}))
    calmAt = now
  end
  call('HSET', P .. 'meta', 'sweptAt', now)
  return true
end
local function takeChores()
  if now < tonumber(call('HGET', P .. 'meta', 'choresAt') or 0) then return false end
  call('HSET', P .. 'meta', 'choresAt', now + ${choreInterval})
  S.takeUpPutOff()
  return true
end
`,
  calm,
)

const choresLeftScript = writing('choresLeft', `call('HSET', P .. 'meta', 'choresAt', 0) return false`)

/** All chores go on in the next turn. */
export const leaveChores = (runs: Runs): Promise<unknown> => runs.write(choresLeftScript)

// ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

const noteFaultsScript = writing(
  'noteFaults',
  `
local all = call('HGETALL', P .. 'faults')
for at = 1, #all, 2 do
  if tonumber(string.match(all[at + 1], '^%d+')) < now - ${faultKept} then call('HDEL', P .. 'faults', all[at]) end
end
for _ = 1, number() do call('HSET', P .. 'faults', arg(), string.format('%.0f', now) .. '\\n' .. arg()) end
return false
`,
)

/** Keeps what failed, for whoever asks after it. */
export async function noteFaults(runs: Runs, faults: readonly KeptFault[]): Promise<void> {
  await runs.write(noteFaultsScript, [faults.length, ...faults.flatMap(({ item, message }) => [item, message])])
}

const faultsScript = reading('faults', `return {string.format('%.0f', now), call('HGETALL', P .. 'faults')}`)

export async function faults(db: Database): Promise<KnownFault[]> {
  const [now, all] = await db.read<[string, string[]]>(faultsScript)
  const found: KnownFault[] = []
  for (let at = 0; at < all.length; at += 2) {
    const [instant, ...message] = (all[at + 1] as string).split('\n')
    found.push({ item: all[at] as string, at: Number(instant), message: message.join('\n') })
  }
  return found.filter(({ at }) => at > Number(now) - faultShown).sort((one, other) => (one.item < other.item ? -1 : 1))
}
