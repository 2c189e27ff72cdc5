-- Returns the user ids of a field, separated by blanks, in a list of one; an empty list where nothing is known. Notes that it was asked.
local people, _, read, asked = unpack(KEYS)
local field, ttl = unpack(ARGV)

redis.call('SET', asked, 1, 'PX', ttl)
if redis.call('EXISTS', read) == 0 then return {} end
return {redis.call('HGET', people, field) or ''}
