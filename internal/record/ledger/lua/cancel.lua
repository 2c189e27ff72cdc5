-- Marks a job as cancelled; one whose people and roles are not looked up yet ends at once. retention: in ms. Returns {1}; {0} where it is
-- already, {-1} finished, {-2} unknown, {-3} being submitted.
local now, by, why, entry, retention = unpack(ARGV)

if not known() then return {-2} end
local cancelled_at, finished_at, phase = unpack(redis.call('HMGET', job_key, 'cancelled_at', 'finished_at', 'phase'))
if resolving(phase) then
	redis.call('UNLINK', asked_key, parts_key, state_key, seen_key)
	redis.call('HDEL', job_key, 'plan', 'unresolved_because', 'seen_at', 'unresolved_rows', 'more_unresolved')
	redis.call('HSET', job_key, 'phase', 'withdrawn', 'total', 0, 'users', 0, 'roles', 0, 'planned_calls', 0,
		'cancelled_at', now, 'cancelled_by', by, 'cancel_reason', why, 'finished_at', now, 'touched_at', now)
	write_audit(entry)
	for _, key in ipairs(lasting) do redis.call('PEXPIRE', key, retention) end
	return {1}
end
if phase == 'planning' then return {-3} end
if cancelled_at then return {0} end
if finished_at then return {-1} end
redis.call('HSET', job_key, 'cancelled_at', now, 'cancelled_by', by, 'cancel_reason', why)
write_audit(entry)
return {1}
