-- Marks the end of a job as told. A job that was opened again since has an end still to come.
local finished_at = ARGV[1]

if redis.call('HGET', job_key, 'finished_at') ~= finished_at then return {0} end
redis.call('HSET', job_key, 'told', finished_at)
return {1}
