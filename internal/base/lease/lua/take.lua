-- Takes the lease, or keeps it. ttl: in ms. Returns {number of the term, ms that are left}, the number 0 where somebody else holds it.
--
-- A term begins at Redis's clock in milliseconds, or one above the last if that is ahead.
local holder_key, term_key = unpack(KEYS)
local me, ttl = unpack(ARGV)

local holder = redis.call('GET', holder_key)
if holder and holder ~= me then return {0, redis.call('PTTL', holder_key)} end
redis.call('SET', holder_key, me, 'PX', ttl)
local last_holder, last_number = unpack(redis.call('HMGET', term_key, 'holder', 'number'))
if last_holder == me then return {tonumber(last_number), tonumber(ttl)} end
local now = redis.call('TIME')
local number = math.max(now[1] * 1000 + math.floor(now[2] / 1000), (tonumber(last_number) or 0) + 1)
redis.call('HSET', term_key, 'holder', me, 'number', string.format('%.0f', number))
return {number, tonumber(ttl)}
