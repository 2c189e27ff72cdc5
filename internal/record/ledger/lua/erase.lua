-- Forgets people in the record of a finished job. entry: of the audit, or ''. Changes follow, each as the key, its field, what
-- the field has to have had, '' for anything, and what it gets, '' to drop it. The key 'seen' has no fields.
-- Returns {1}; {0} where a field was changed meanwhile, {-1} where the job is not finished, {-2} where it is unknown.
local entry = ARGV[1]
local first_change = 2

local job = redis.call('HMGET', job_key, 'total', 'removed', 'dead', 'cancelled', 'finished_at')
if not job[1] then return {-2} end
if not job[5] or job[1] - job[2] - job[3] - job[4] ~= 0 then return {-1} end
local named = {job = job_key, parts = parts_key, state = state_key, begun = begun_key, bad = bad_key}
for i = first_change, #ARGV, 4 do
	local key, field, old, new = unpack(ARGV, i, i + 3)
	if key == 'seen' then
		local ttl = redis.call('PTTL', seen_key)
		redis.call('SET', seen_key, new)
		if ttl > 0 then redis.call('PEXPIRE', seen_key, ttl) end
	else
		if old ~= '' and redis.call('HGET', named[key], field) ~= old then return {0} end
		if new == '' then redis.call('HDEL', named[key], field) else redis.call('HSET', named[key], field, new) end
	end
end
if entry ~= '' then write_audit(entry) end
return {1}
