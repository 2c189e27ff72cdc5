-- Takes over a new state of a part, if it is based on the version that the record has.
--
-- removed, dead, cancelled: by how much the job's counts change. retention: in ms. entry: of the audit, or ''. mode: 'begun'
-- to stay marked as being called, 'idle' to refuse a part that is. lead: that the worker has, or ''. name: under which the claim began, the part's or a
-- letter's of it; for 'idle' the letters follow that must not be begun either.
--
-- Returns {1}, {2} where the job has ended and will not open again; {0, state} where the record has another version; {-1} where it is being called; {-2} without a job.
local part, version, new_state, removed, dead, cancelled, calls, now, retention, entry, mode, lead, name = unpack(ARGV)
local first_name = 13

-- What a call came to is true on any server, but what is dead has a letter, which was enqueued on the one before: it may be lost.
local why = stale(lead, tonumber(dead) > 0 and '' or name)
if why then return {why} end
local have = redis.call('HGET', state_key, part) or ''
if (string.match(have, '^%d+') or '0') ~= version then return {0, have} end
if mode == 'idle' then
	for i = first_name, #ARGV do
		local _, called = mark(ARGV[i])
		if called then return {-1} end
	end
end
if not known() then return {-2} end

redis.call('HSET', state_key, part, new_state)
if mode ~= 'begun' then redis.call('HDEL', begun_key, name) end
local function count(field, n)
	if n ~= '0' then redis.call('HINCRBY', job_key, field, n) end
end
count('removed', removed)
count('dead', dead)
count('cancelled', cancelled)
count('api_calls', calls)
if entry ~= '' then write_audit(entry) end

local job = redis.call('HMGET', job_key, 'total', 'removed', 'dead', 'cancelled', 'finished_at', 'source', 'told')
local pending, finished_at = job[1] - job[2] - job[3] - job[4], job[5]
redis.call('HSET', job_key, 'touched_at', now)
if pending == 0 then
	if not finished_at then
		redis.call('HSET', job_key, 'finished_at', now)
		-- A stream has 4 KB in reserve for more entries; its copy is as large as its entries. Where that is forbidden, it stays large.
		if redis.call('XLEN', audit_key) <= 16 and redis.pcall('COPY', audit_key, copy_key, 'REPLACE') == 1 then
			redis.pcall('RENAME', copy_key, audit_key)
		end
	end
	if tonumber(job[3]) == 0 then
		for _, key in ipairs(lasting) do redis.call('PEXPIRE', key, retention) end
		if job[6] ~= 'queue' and not job[7] then return {2} end
	end
elseif finished_at then
	redis.call('HDEL', job_key, 'finished_at')
	keep_record()
end
return {1}
