-- What the ledger says about a part. A part that the record does not know is adopted: it was put straight into Redis, or its
-- job was.
--
-- batch: that the part was set apart from, if it is a letter, else ''. payload: '' if it was compared before. owned: its pairs.
-- begin: 'begin' if a call follows at once, 'first' if nobody in the worker has the part yet: a call that has begun and not
-- rested has taken its worker along then. lead: that the worker has, or ''. entry: of the audit, if it is adopted. most_bad: how many bad ids are read
-- whole. action: of the part. After these come ids, "u:…" and "r:…", to look up among the bad ones instead.
--
-- Returns {what is missing} to be asked again with it, 'payload' or 'ids'; {'other content'}.
local name, batch, payload, owned, begin, lane, now, entry, most_bad, lead, action = unpack(ARGV)
local first_id = 12

local last, cancelled_at, cancel_reason, at, source = unpack(redis.call('HMGET', job_key, 'lead', 'cancelled_at', 'cancel_reason', 'at', 'source'))
local why = stale(lead, nil, last)
if why then return {why} end

local whole = #ARGV < first_id and batch == ''
local known_bad = whole and redis.call('HLEN', bad_key)
if whole and known_bad > tonumber(most_bad) then return {'ids'} end

local part, adopted = name, 0 -- adopted: 1 the job was before, 2 the part is now
local have = redis.call('HGET', parts_key, name)
if not have then
	if batch ~= '' and redis.call('HEXISTS', parts_key, batch) == 1 then
		part = batch
	else
		if payload == '' then return {'payload'} end
		if not known() then
			redis.call('HSET', job_key, 'source', 'queue', 'priority', lane, 'phase', 'submitted', 'created_at', now,
				'total', 0, 'removed', 0, 'dead', 0, 'cancelled', 0, 'api_calls', 0)
			if action ~= '' then redis.call('HSET', job_key, 'action', action) end
		end
		adopted = 2
		redis.call('HSET', parts_key, name, payload)
		-- A submission that is being repeated, since Redis lost the record and not the task, has counted its pairs.
		if redis.call('HGET', job_key, 'phase') ~= 'planning' then redis.call('HINCRBY', job_key, 'total', owned) end
		redis.call('HDEL', job_key, 'finished_at')
		keep_record()
		write_audit(entry)
	end
elseif payload ~= '' and have ~= payload then
	return {'other content'}
end

if adopted == 0 and source == 'queue' then adopted = 1 end

if lead ~= '' and last ~= number_of(lead) then redis.call('HSET', job_key, 'lead', number_of(lead)) end
local crashes, called = mark(name)
if begin == 'first' and called then
	crashes = crashes + 1
	redis.call('HSET', begun_key, name, crashes)
elseif begin == 'begin' and not cancelled_at then
	redis.call('HSET', begun_key, name, crashes .. '+' .. number_of(lead))
end

local bad = {}
if whole then
	if known_bad > 0 then bad = redis.call('HGETALL', bad_key) end
else
	for from = first_id, #ARGV, 1000 do
		local to = math.min(from + 999, #ARGV)
		for i, why in ipairs(redis.call('HMGET', bad_key, unpack(ARGV, from, to))) do
			if why then
				bad[#bad + 1] = ARGV[from + i - 1]
				bad[#bad + 1] = why
			end
		end
	end
end

local in_record = ''
if part ~= name then in_record = redis.call('HGET', parts_key, part) end
return {cancelled_at or '', cancel_reason or '', at or '', redis.call('HGET', state_key, part) or '', in_record, adopted, bad, crashes}
