-- Replaces the value of a field, or drops the field where nothing is left of it, unless it has changed.
local key = unpack(KEYS)
local field, had, left = unpack(ARGV)

if redis.call('HGET', key, field) ~= had then return 0 end
if left == '' then return redis.call('HDEL', key, field) end
redis.call('HSET', key, field, left)
return 1
