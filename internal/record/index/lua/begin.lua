-- Begins to build, for who holds the lease: returns {ms at which it began, how often people were erased until then}, else an empty list.
local _, building, _, _, erased, lease, added = unpack(KEYS)
local me = unpack(ARGV)

if redis.call('GET', lease) ~= me then return {} end
redis.call('DEL', building)
redis.call('SET', added, 0, 'PX', 3600000)
local clock = redis.call('TIME')
return {string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), redis.call('GET', erased) or '0'}
