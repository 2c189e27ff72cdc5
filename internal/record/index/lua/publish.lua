-- Puts what was built in the place of what was there, for who holds the lease, unless people were erased since it began.
local people, building, read, _, erased, lease = unpack(KEYS)
local me, began, erasures, ttl = unpack(ARGV)

if redis.call('GET', lease) ~= me or (redis.call('GET', erased) or '0') ~= erasures then return 0 end
redis.call('DEL', people)
if redis.call('EXISTS', building) == 1 then
	redis.call('RENAME', building, people)
	redis.call('PEXPIRE', people, ttl)
end
redis.call('SET', read, began, 'PX', ttl)
return 1
