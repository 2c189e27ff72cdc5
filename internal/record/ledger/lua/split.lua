-- Takes the children of a part over, with the state that says so. Children follow, each as its name and its payload.
local part, version, new_state, lead = unpack(ARGV)
local first_child = 5

local why = stale(lead)
if why then return {why} end
local have = redis.call('HGET', state_key, part) or ''
if (string.match(have, '^%d+') or '0') ~= version then return {0} end
for i = first_child, #ARGV, 2 do redis.call('HSET', parts_key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', state_key, part, new_state)
return {1}
