-- Numbers what is said, in the order in which it is said: µs by the clock of Redis, never the same twice, never less than before
-- and more than least.
local function say(word_key, least)
	local time = redis.call('TIME')
	local now = time[1] * 1000000 + time[2]
	local last = tonumber(redis.call('GET', word_key) or '0')
	local word = string.format('%.0f', math.max(now, last + 1, tonumber(least) + 1))
	redis.call('SET', word_key, word)
	return word
end
