-- Notes why a job cannot be looked up at this moment. lead: of the worker that could not; an earlier one notes nothing.
local why, lead = unpack(ARGV)

if stale(lead) or not resolving(redis.call('HGET', job_key, 'phase')) then return {0} end
redis.call('HSET', job_key, 'unresolved_because', why)
return {1}
