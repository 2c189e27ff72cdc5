-- Lets a job begin that waits for approval; one that is looked at again before it begins waits for that look then. word: its new place among what was said, where that key is in another slot. Returns {1}; {0} where it does not wait, {-2} where it is unknown.
local now, by, entry, word = unpack(ARGV)

local total, awaiting, last_look, cancelled_at = unpack(redis.call('HMGET', job_key, 'total', 'awaiting', 'last_look', 'cancelled_at'))
if not total then return {-2} end
if awaiting ~= 'approval' or cancelled_at then return {0} end
if last_look then redis.call('HSET', job_key, 'awaiting', 'last_look') else redis.call('HDEL', job_key, 'awaiting') end
redis.call('HSET', job_key, 'approved_at', now, 'approved_by', by, 'word', shared_key and say(shared_key, 0) or word)
write_audit(entry)
return {1}
