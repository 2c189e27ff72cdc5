-- Keeps what a look at a list found, unless the list is looked at anew meanwhile, or was submitted. turn: of the look. lasts: in
-- ms. The fields follow, each with its content; one without is taken away. Returns whether it was kept.
local key = KEYS[1]
local turn, lasts = unpack(ARGV)
local first_field = 3

local about = redis.call('HGET', key, 'about')
if not about or tostring(cjson.decode(about).turn) ~= turn then return 0 end
for i = first_field, #ARGV, 2 do
	if ARGV[i + 1] == '' then
		redis.call('HDEL', key, ARGV[i])
	else
		redis.call('HSET', key, ARGV[i], ARGV[i + 1])
	end
end
redis.call('HDEL', key, 'look')
redis.call('PEXPIRE', key, lasts)
return 1
