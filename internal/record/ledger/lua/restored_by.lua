-- Notes a job that gives back what this one removed.
local by = ARGV[1]

if not known() then return {0} end
local have = redis.call('HGET', job_key, 'restored_by')
if have and string.find(',' .. have .. ',', ',' .. by .. ',', 1, true) then return {1} end
redis.call('HSET', job_key, 'restored_by', have and have .. ',' .. by or by)
return {1}
