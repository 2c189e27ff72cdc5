-- Marks a task as that of the lead of that number, for drop.lua of earlier ones. Returns {message, state}, or {} where there is none.
local task_key = KEYS[1]
local number = unpack(ARGV)

local msg, state, owner = unpack(redis.call('HMGET', task_key, 'msg', 'state', 'unrole_lead'))
if not msg then return {} end
if not owner or tonumber(owner) < tonumber(number) then redis.call('HSET', task_key, 'unrole_lead', number) end
return {msg, state}
