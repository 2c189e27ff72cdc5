-- Puts what was built in the place of what was there, for who holds the lease, unless people were erased since it began or something of
-- what was added is gone. count: of the people who were read. Sent twice it does so once.
local people, building, read, _, erased, lease, added, about = unpack(KEYS)
local me, began, erasures, ttl, all, count = unpack(ARGV)

if redis.call('GET', lease) ~= me or (redis.call('GET', erased) or '0') ~= erasures then return 0 end
local have = redis.call('GET', added)
if not have and redis.call('GET', read) == began then return 1 end
if have ~= all then return 0 end
redis.call('DEL', people, added)
if redis.call('EXISTS', building) == 1 then
	redis.call('RENAME', building, people)
	redis.call('PEXPIRE', people, ttl)
end
redis.call('SET', read, began, 'PX', ttl)
redis.call('DEL', about)
redis.call('HSET', about, 'people', count)
redis.call('PEXPIRE', about, ttl)
return 1
