-- Records how far the file has come, while this process still holds the turn. Jobs follow, each with the id of the entry.
local turn_key, cursor_key = unpack(KEYS)
local holder = ARGV[1]
local first_job = 2

if redis.call('GET', turn_key) ~= holder then return 0 end
for i = first_job, #ARGV, 2 do redis.call('HSET', cursor_key, ARGV[i], ARGV[i + 1]) end
return 1
