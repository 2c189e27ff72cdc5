-- Takes over a new state of a part, if it is based on the version that the record has.
--
-- removed, dead, cancelled: by how much the job's counts change. retention: in ms. entry: of the audit, or ''. mode: 'begun'
-- to stay marked as being called, 'idle' to refuse a part that is. lead: that the worker has, or ''. name: under which the claim began, the part's or a
-- letter's of it; for 'idle' the letters follow that must not be begun either. shared_key is the index of open jobs.
--
-- Returns {1}, {2} where the job has ended, will not open again, and is to be taken out of that index yet; {0, state} where the record has another version; {-1} where it is being called; {-2} without a job.
local part, version, new_state, removed, dead, cancelled, calls, now, retention, entry, mode, lead, name = unpack(ARGV)
local first_name = 13

local last, total, have_removed, have_dead, have_cancelled, have_calls, finished_at, source, told, simulated = unpack(redis.call('HMGET', job_key,
	'lead', 'total', 'removed', 'dead', 'cancelled', 'api_calls', 'finished_at', 'source', 'told', 'simulated'))
-- What a call came to is true on any server, but what is dead has a letter, which was enqueued on the one before: it may be lost.
local why = stale(lead, tonumber(dead) > 0 and '' or name, last)
if why then return {why} end
local have = redis.call('HGET', state_key, part) or ''
if (string.match(have, '^%d+') or '0') ~= version then return {0, have} end
if mode == 'idle' then
	for i = first_name, #ARGV do
		local _, called = mark(ARGV[i])
		if called then return {-1} end
	end
end
if not total then return {-2} end

redis.call('HSET', state_key, part, new_state)
if mode ~= 'begun' then redis.call('HDEL', begun_key, name) end
if entry ~= '' then write_audit(entry, simulated) end

local fields = {'touched_at', now}
local function put(field, value)
	fields[#fields + 1] = field
	fields[#fields + 1] = value
end
local function count(field, before, n)
	if n ~= '0' then put(field, before + n) end
	return before + n
end
local now_removed, now_dead, now_cancelled = count('removed', have_removed, removed), count('dead', have_dead, dead), count('cancelled', have_cancelled, cancelled)
local pending = total - now_removed - now_dead - now_cancelled
count('api_calls', have_calls, calls)
local ends = pending == 0 and not finished_at
if ends then put('finished_at', now) end
redis.call('HSET', job_key, unpack(fields))

-- A stream has 4 KB in reserve for more entries; its copy is as large as its entries. Where that is forbidden, it stays large.
if ends and redis.call('XLEN', audit_key) <= 16 and redis.pcall('COPY', audit_key, copy_key, 'REPLACE') == 1 then
	redis.pcall('RENAME', copy_key, audit_key)
end
if pending == 0 and now_dead == 0 then
	for _, key in ipairs(lasting) do redis.call('PEXPIRE', key, retention) end
	if source ~= 'queue' and not told then
		if not shared_key then return {2} end
		redis.call('ZREM', shared_key, string.match(job_key, '{(.*)}'))
	end
elseif pending ~= 0 and finished_at then
	redis.call('HDEL', job_key, 'finished_at')
	keep_record()
end
return {1}
