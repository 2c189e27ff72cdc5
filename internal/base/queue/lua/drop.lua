-- Deletes a scheduled task in the name of the lead of that number, unless a later lead has marked it as its own.
local scheduled_key, task_key = unpack(KEYS)
local number, id = unpack(ARGV)

local owner = redis.call('HGET', task_key, 'unrole_lead')
if owner and tonumber(owner) > tonumber(number) then return 0 end
if redis.call('ZREM', scheduled_key, id) == 0 then return 0 end
return redis.call('UNLINK', task_key)
