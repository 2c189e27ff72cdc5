-- Writes parts of a job that is being planned by this plan. Parts follow, each as its name and its payload.
local plan = ARGV[1]
local first_part = 2

local phase, have_plan = unpack(redis.call('HMGET', job_key, 'phase', 'plan'))
if phase ~= 'planning' then return {phase or 'gone'} end
if have_plan ~= plan then return {'superseded'} end
for i = first_part, #ARGV, 2 do redis.call('HSET', parts_key, ARGV[i], ARGV[i + 1]) end
return {'planning'}
