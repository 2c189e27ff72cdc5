-- Drops everything of a finished job, its trail too, which has another name by now. last: the place of the last entry that was
-- taken over, '' for none. Returns {1}; {0} where there are entries behind it, {-1} where the job is not finished.
local last = ARGV[1]

local job = redis.call('HMGET', job_key, 'total', 'removed', 'dead', 'cancelled', 'finished_at')
if known() and (not job[5] or job[1] - job[2] - job[3] - job[4] ~= 0) then return {-1} end
local newest = redis.call('XREVRANGE', audit_key, '+', '-', 'COUNT', 1)[1]
if newest and newest[1] ~= last then return {0} end
redis.call('UNLINK', unpack(KEYS))
return {1}
