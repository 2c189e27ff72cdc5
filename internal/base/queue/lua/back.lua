-- Makes active tasks pending again, as asynq's own requeue does, but all in one step and in their order: what was taken first
-- is taken first again. A task that Redis has lost is dropped.
--
-- number: of the lead. task_prefix: of the keys of tasks. The ids follow, none meaning all. Returns how many went back, or -1
-- where a later lead has taken the queue over.
local fence_key, active_key, lease_key, pending_key = unpack(KEYS)
local number, task_prefix = unpack(ARGV)
local first_id = 3

local fence = redis.call('GET', fence_key)
if fence and tonumber(fence) > tonumber(number) then return -1 end
if fence ~= number then redis.call('SET', fence_key, number) end
local active = redis.call('LRANGE', active_key, 0, -1)
if #active == 0 then return 0 end
local chosen = {}
for i = first_id, #ARGV do chosen[ARGV[i]] = true end
redis.call('DEL', active_key)
local n, seen = 0, {}
for _, id in ipairs(active) do
	if #ARGV >= first_id and not chosen[id] then
		redis.call('RPUSH', active_key, id)
	elseif not seen[id] then
		seen[id] = true
		redis.call('ZREM', lease_key, id)
		local task_key = task_prefix .. id
		if redis.call('HEXISTS', task_key, 'msg') == 1 then
			redis.call('HSET', task_key, 'state', 'pending')
			redis.call('RPUSH', pending_key, id)
			n = n + 1
		else
			redis.call('DEL', task_key)
		end
	end
end
return n
