-- Takes the mark of a call off. answered: '1' if DingTalk has answered one since it was put on, so that its worker lives.
local name, lead, answered = unpack(ARGV)

local why = stale(lead, name)
if why then return {why} end
local crashes, called = mark(name)
if crashes > 0 and answered ~= '1' then
	redis.call('HSET', begun_key, name, crashes)
elseif called then
	redis.call('HDEL', begun_key, name)
end
return {1}
