-- Remembers a job of somebody who leaves: how often it had been said by then that they stay, and when the message of the job was sent.
-- A message that was sent before the last that said so counts as one of before them all.
-- KEYS[1]: the person. ARGV[1]: the field of the job, ARGV[2]: when the message was sent, in ms since 1970, 0 where it does not say,
-- ARGV[3]: for how many ms the person is remembered at least. Returns 1 where the job has been taken back, otherwise 0.
local person = KEYS[1]
local job = ARGV[1]
local sent = ARGV[2]
local kept = ARGV[3]
local stays = tonumber(redis.call('HGET', person, 'stays') or '0')
local stayed = tonumber(redis.call('HGET', person, 'stayed') or '0')
local before = stays
if tonumber(sent) > 0 and tonumber(sent) < stayed then before = 0 end
redis.call('HSETNX', person, job, before .. ' ' .. sent)
if redis.call('PTTL', person) < tonumber(kept) then redis.call('PEXPIRE', person, kept) end
local known, of = string.match(redis.call('HGET', person, job), '^(%d+) (%d+)$')
if tonumber(known) < stays and (stayed == 0 or tonumber(of) <= stayed) then return 1 end
return 0
