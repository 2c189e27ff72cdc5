-- Lets a job begin that was looked at again. word: its new place among what was said, where that key is in another slot. Returns {1}; {0} where it does not wait for that, {-2} where it is unknown.
local entry, word = unpack(ARGV)

local total, awaiting, cancelled_at = unpack(redis.call('HMGET', job_key, 'total', 'awaiting', 'cancelled_at'))
if not total then return {-2} end
if awaiting ~= 'last_look' or cancelled_at then return {0} end
redis.call('HDEL', job_key, 'awaiting')
redis.call('HSET', job_key, 'word', shared_key and say(shared_key, 0) or word)
write_audit(entry)
return {1}
