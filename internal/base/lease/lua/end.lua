-- Gives the lease back, unless somebody else holds it. One that has lapsed meanwhile does not go on either.
local holder_key, term_key = unpack(KEYS)
local me = ARGV[1]

if redis.call('HGET', term_key, 'holder') == me then redis.call('HDEL', term_key, 'holder') end
if redis.call('GET', holder_key) ~= me then return 0 end
return redis.call('DEL', holder_key)
