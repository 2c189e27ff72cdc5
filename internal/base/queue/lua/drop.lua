-- Deletes a scheduled task in the name of the lead of that number. Where a later lead has taken the queue over, the task may be that one's
-- by now, and stays.
local task_key, scheduled_key, fence_key = unpack(KEYS)
local number, id = unpack(ARGV)

local fence = redis.call('GET', fence_key)
if fence and tonumber(fence) > tonumber(number) then return 0 end
if redis.call('ZREM', scheduled_key, id) == 0 then return 0 end
return redis.call('UNLINK', task_key)
