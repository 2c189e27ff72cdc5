-- Before every script: the keys of one job, and what several scripts do with them.
local job_key, parts_key, state_key, begun_key, bad_key, seen_key, asked_key, audit_key, copy_key, word_key = unpack(KEYS)

local function known() return redis.call('EXISTS', job_key) == 1 end

-- Every entry of a simulation says so, whoever writes it.
local function write_audit(entry)
	if redis.call('HEXISTS', job_key, 'simulated') == 1 and not string.find(entry, '"simulated":true', 1, true) then
		entry = string.sub(entry, 1, -2) .. ',"simulated":true}'
	end
	redis.call('XADD', audit_key, '*', 'entry', entry)
end

-- Who takes the fleet's tasks has a number, which grows from one to the next. A job obeys the greatest that looked at it and
-- knows no word of an earlier one any more. 0 is nobody who takes tasks.
local function stale(lead)
	local last = lead ~= '0' and redis.call('HGET', job_key, 'lead')
	return last and tonumber(last) > tonumber(lead)
end

-- The mark of a part or letter is how many calls in a row have taken their worker along, and "+" with the lead that makes
-- one just now: "2", "0+1732690000123".
local function mark(name)
	local have = redis.call('HGET', begun_key, name)
	if not have then return 0, false end
	local crashes, called = string.match(have, '^(%d+)(%+?)%d*$')
	if not crashes then return 0, true end -- of an older worker
	return tonumber(crashes), called == '+'
end

-- What expires with the record: all but the audit trail, which stays.
local lasting = {job_key, parts_key, state_key, begun_key, bad_key, seen_key}

-- Whether people and roles of the job are still as somebody wrote them: nothing of it was enqueued, and what was planned of it
-- may be planned otherwise.
local function resolving(phase)
	return phase == 'resolving' or phase == 'planning' and redis.call('EXISTS', asked_key) == 1
end

local function keep_record()
	for _, key in ipairs(lasting) do redis.call('PERSIST', key) end
end
