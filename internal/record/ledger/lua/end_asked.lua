-- Ends a job that has no pair: it is refused, or nothing of what it asked for is held. phase: 'refused' or 'submitted'. lead: of the
-- worker that looked it up. retention: in ms. seen: what was seen. entry: of the audit. Fields of the job follow, each as its name and its
-- value. Returns {1}; {0} where it is over.
local phase, lead, now, retention, seen, entry = unpack(ARGV)
local first_field = 7

local why = stale(lead)
if why then return {why} end
if not resolving(redis.call('HGET', job_key, 'phase')) then return {0} end
redis.call('UNLINK', asked_key, parts_key, state_key)
redis.call('HDEL', job_key, 'plan', 'unresolved_because')
redis.call('HSET', job_key, 'phase', phase, 'total', 0, 'users', 0, 'roles', 0, 'planned_calls', 0, 'finished_at', now, 'touched_at', now)
for i = first_field, #ARGV, 2 do redis.call('HSET', job_key, ARGV[i], ARGV[i + 1]) end
redis.call('SET', seen_key, seen)
write_audit(entry)
for _, key in ipairs(lasting) do redis.call('PEXPIRE', key, retention) end
return {1}
