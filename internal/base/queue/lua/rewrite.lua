-- Gives a task another message, if nobody has it in hand and it still has the one that it was read with.
local task_key = KEYS[1]
local old, new = unpack(ARGV)

local msg, state = unpack(redis.call('HMGET', task_key, 'msg', 'state'))
if msg ~= old or state == 'active' then return 0 end
redis.call('HSET', task_key, 'msg', new)
return 1
