-- Gives the lease back, unless somebody else holds it.
local holder_key, term_key = unpack(KEYS)
local me = ARGV[1]

if redis.call('GET', holder_key) ~= me then return 0 end
redis.call('HDEL', term_key, 'holder')
return redis.call('DEL', holder_key)
