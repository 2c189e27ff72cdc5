-- Keeps the sum of a verification.
local field, sum, entry = unpack(ARGV)

if not known() then return {0} end
redis.call('HSET', state_key, field, sum)
write_audit(entry)
-- A job whose record ends keeps its end, also where this made the hash.
local ttl = redis.call('PTTL', job_key)
if ttl > 0 then redis.call('PEXPIRE', state_key, ttl) end
return {1}
