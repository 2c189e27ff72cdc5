-- Tries commands, and returns the names of those that this user may not send. tries: a JSON list of commands, each a list of
-- arguments in which KEY and NONE stand for the keys. Both are in one slot of a Cluster, and the tries end with the key gone.
local key, none = unpack(KEYS)
local tries = ARGV[1]

local function refused(reply)
	return type(reply) == 'table' and reply.err and (string.find(reply.err, 'NOPERM', 1, true) or string.find(reply.err, "executing the script can't", 1, true))
end

local missing = {}
for _, args in ipairs(cjson.decode(tries)) do
	for i, a in ipairs(args) do
		if a == 'KEY' then args[i] = key elseif a == 'NONE' then args[i] = none end
	end
	if refused(redis.pcall(unpack(args))) then missing[#missing + 1] = args[1] end
end
return missing
