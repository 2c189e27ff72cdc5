-- Counts the users of a source, if the limit lets them through. The guard of a source is a sorted set of user ids by the time
-- they were last let through, in µs. since: before which they do not count. window: in ms. Users follow.
-- Returns {1 or 0, how many are counted}.
local guard_key = KEYS[1]
local since, now, limit, window = unpack(ARGV)
local first_user = 5

redis.call('ZREMRANGEBYSCORE', guard_key, '-inf', since)
local counted, new = redis.call('ZCARD', guard_key), 0
for i = first_user, #ARGV do
	if not redis.call('ZSCORE', guard_key, ARGV[i]) then new = new + 1 end
end
if counted + new > tonumber(limit) then return {0, counted} end
for i = first_user, #ARGV do redis.call('ZADD', guard_key, now, ARGV[i]) end
redis.call('PEXPIRE', guard_key, window)
return {1, counted + new}
