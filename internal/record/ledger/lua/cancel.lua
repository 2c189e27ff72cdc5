-- Marks a job as cancelled. Returns {1}; {0} where it is already, {-1} finished, {-2} unknown, {-3} being submitted.
local now, by, why, entry = unpack(ARGV)

if not known() then return {-2} end
local cancelled_at, finished_at, phase = unpack(redis.call('HMGET', job_key, 'cancelled_at', 'finished_at', 'phase'))
if phase == 'planning' then return {-3} end
if cancelled_at then return {0} end
if finished_at then return {-1} end
redis.call('HSET', job_key, 'cancelled_at', now, 'cancelled_by', by, 'cancel_reason', why)
write_audit(entry)
return {1}
