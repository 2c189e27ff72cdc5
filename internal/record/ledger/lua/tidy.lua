-- Takes names out of the index of open jobs that nobody has put in again since.
--
-- ARGV: name, the score that it was seen with, name, score, …
local open_key = KEYS[1]

for i = 1, #ARGV, 2 do
	if redis.call('ZSCORE', open_key, ARGV[i]) == ARGV[i + 1] then redis.call('ZREM', open_key, ARGV[i]) end
end
return 1
