-- Remembers that somebody stays. The same message again says what it said the first time.
-- KEYS[1]: the person. ARGV[1]: the field of the message, empty where it has no id, ARGV[2]: when it was sent, in ms since 1970, 0 where
-- it does not say, ARGV[3]: for how many ms the person is remembered at least. Returns the fields of the jobs that it takes back: those
-- remembered before it, but for what was sent after it.
local person = KEYS[1]
local message = ARGV[1]
local sent = ARGV[2]
local kept = ARGV[3]
local nth
local said = message ~= '' and redis.call('HGET', person, message)
if said then
  nth, sent = string.match(said, '^(%d+) (%d+)$')
else
  nth = redis.call('HINCRBY', person, 'stays', 1)
  if message ~= '' then redis.call('HSET', person, message, nth .. ' ' .. sent) end
  if tonumber(sent) > tonumber(redis.call('HGET', person, 'stayed') or '0') then redis.call('HSET', person, 'stayed', sent) end
end
if redis.call('PTTL', person) < tonumber(kept) then redis.call('PEXPIRE', person, kept) end
local jobs = {}
local all = redis.call('HGETALL', person)
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 4) == 'job:' then
    local before, of = string.match(all[i + 1], '^(%d+) (%d+)$')
    if tonumber(before) < tonumber(nth) and (tonumber(sent) == 0 or tonumber(of) <= tonumber(sent)) then jobs[#jobs + 1] = all[i] end
  end
end
return jobs
