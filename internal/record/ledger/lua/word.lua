-- Numbers what was said, in the order in which it was said: µs by the clock of Redis, and never the same twice.
local word_key = KEYS[1]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', word_key) or '0')
local word = string.format('%.0f', math.max(now, last + 1))
redis.call('SET', word_key, word)
return word
