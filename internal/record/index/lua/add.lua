-- Adds fields with a user id each, for who holds the lease.
local _, building, _, _, _, lease = unpack(KEYS)
local me = unpack(ARGV)
local first = 2 -- the fields and their user ids follow

if redis.call('GET', lease) ~= me then return 0 end
for i = first, #ARGV, 2 do
	local field, id = unpack(ARGV, i, i + 1)
	local had = redis.call('HGET', building, field)
	redis.call('HSET', building, field, (had and had .. ' ' or '') .. id)
end
redis.call('PEXPIRE', building, 600000)
return 1
