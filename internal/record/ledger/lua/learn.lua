-- Keeps why DingTalk refuses ids of the job. Ids follow, each as its field and the reason, which is '' for one that it has
-- accepted now.
local lead = ARGV[1]
local first_id = 2

local why = stale(lead)
if why then return {why} end
for i = first_id, #ARGV, 2 do
	if ARGV[i + 1] == '' then
		redis.call('HDEL', bad_key, ARGV[i])
	else
		redis.call('HSETNX', bad_key, ARGV[i], ARGV[i + 1])
	end
end
return {1}
