-- Makes the tasks of an asynq group single ones: nobody here aggregates. At most 1,000 at once. now: in ns. Returns how many.
local group_key, groups_key, pending_key = unpack(KEYS)
local group, task_prefix, now = unpack(ARGV)

local ids = redis.call('ZRANGE', group_key, 0, 999)
for _, id in ipairs(ids) do
	redis.call('ZREM', group_key, id)
	local task_key = task_prefix .. id
	if redis.call('HEXISTS', task_key, 'msg') == 1 then
		redis.call('HDEL', task_key, 'group')
		redis.call('HSET', task_key, 'state', 'pending', 'pending_since', now)
		redis.call('LPUSH', pending_key, id)
	end
end
if redis.call('EXISTS', group_key) == 0 then redis.call('SREM', groups_key, group) end
return #ids
