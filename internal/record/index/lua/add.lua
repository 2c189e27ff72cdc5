-- Adds fields with a user id each, for who holds the lease, unless something of what was added before is gone. Sent twice it adds them once.
local _, building, _, _, _, lease, added = unpack(KEYS)
local me, before = unpack(ARGV)
local first = 3 -- the fields and their user ids follow

local have = tonumber(redis.call('GET', added) or nil)
local after = tonumber(before) + (#ARGV - first + 1) / 2
if redis.call('GET', lease) ~= me then return 0 end
if have == after then return 1 end
if have ~= tonumber(before) then return 0 end
for i = first, #ARGV, 2 do
	local field, id = unpack(ARGV, i, i + 1)
	local had = redis.call('HGET', building, field)
	redis.call('HSET', building, field, (had and had .. ' ' or '') .. id)
end
redis.call('PEXPIRE', building, 3600000)
redis.call('SET', added, string.format('%.0f', after), 'PX', 3600000)
return 1
