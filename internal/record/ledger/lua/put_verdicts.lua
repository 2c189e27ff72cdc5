-- Keeps what DingTalk said about pairs. Fields follow, each as its name and its value.
if not known() then return {0} end
for i = 1, #ARGV, 2 do redis.call('HSET', state_key, ARGV[i], ARGV[i + 1]) end
return {1}
