-- Lets the record of a finished job vanish after the retention (ms), if it has not moved since the stamp. What expires
-- already keeps its time.
local stamp, retention = unpack(ARGV)

local job = redis.call('HMGET', job_key, 'total', 'removed', 'dead', 'cancelled', 'finished_at', 'touched_at')
if not job[1] or not job[5] or (job[6] or '') ~= stamp then return {0} end
if job[1] - job[2] - job[3] - job[4] ~= 0 then return {0} end
for _, key in ipairs(lasting) do
	if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, retention) end
end
return {1}
