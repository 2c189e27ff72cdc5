-- Hands out what was asked of a job to the worker that looks it up, whose lead it obeys from here on. Returns {phase, request};
-- {phase} where nothing is to be looked up any more.
local lead = ARGV[1]

local why = stale(lead)
if why then return {why} end
local phase = redis.call('HGET', job_key, 'phase')
if not resolving(phase) then return {phase or 'gone'} end
if lead ~= '' then redis.call('HSET', job_key, 'lead', number_of(lead)) end
return {phase, redis.call('GET', asked_key)}
