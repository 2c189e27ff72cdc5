-- Takes names out of an index of jobs that nobody has put in again since.
--
-- ARGV: name, the score that it was seen with, name, score, …
local index_key = KEYS[1]

for i = 1, #ARGV, 2 do
	if redis.call('ZSCORE', index_key, ARGV[i]) == ARGV[i + 1] then redis.call('ZREM', index_key, ARGV[i]) end
end
return 1
