-- Numbers what is said now.
local word_key, least = KEYS[1], ARGV[1]

return say(word_key, least)
