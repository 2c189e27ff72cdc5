-- Notes why a job cannot be looked up at this moment.
local why = ARGV[1]

if not resolving(redis.call('HGET', job_key, 'phase')) then return {0} end
redis.call('HSET', job_key, 'unresolved_because', why)
return {1}
