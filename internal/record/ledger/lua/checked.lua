-- Records that every open part of the job was seen to have a task.
local now = ARGV[1]

local phase = redis.call('HGET', job_key, 'phase')
if not phase then return {0} end
if phase == 'planned' then redis.call('HSET', job_key, 'phase', 'submitted') end
redis.call('HSET', job_key, 'checked_at', now)
return {1}
