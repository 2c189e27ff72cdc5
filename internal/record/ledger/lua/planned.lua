-- Closes the planning of a job, if all of its parts are there. word: its place among what was said, where that key is in another slot.
local plan, parts, word = unpack(ARGV)

local phase, have_plan = unpack(redis.call('HMGET', job_key, 'phase', 'plan'))
if phase ~= 'planning' then return {phase or 'gone'} end
if have_plan ~= plan then return {'superseded'} end
if redis.call('HLEN', parts_key) ~= tonumber(parts) then return {'incomplete'} end
redis.call('HSET', job_key, 'phase', 'planned', 'word', shared_key and say(shared_key, 0) or word)
redis.call('HDEL', job_key, 'unresolved_because')
redis.call('UNLINK', asked_key) -- whom it means is known
return {'planning'}
