-- Returns {ms since the directory began to be read, -1 for never, whether somebody asked}.
local _, _, read, asked = unpack(KEYS)

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local began = tonumber(redis.call('GET', read) or nil)
local age = -1
if began then age = math.max(0, now - began) end
return {age, redis.call('EXISTS', asked)}
