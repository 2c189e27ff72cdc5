-- Before every script: the keys of one job, and what several scripts do with them. shared_key: one of all jobs, for those that need it; nil
-- on a cluster, where it is in another slot.
local job_key, parts_key, state_key, begun_key, bad_key, seen_key, asked_key, audit_key, copy_key, shared_key = unpack(KEYS)

local function known() return redis.call('EXISTS', job_key) == 1 end

-- Every entry of a simulation says so, whoever writes it. simulated: what the job has under that name, if it was read.
local function write_audit(entry, simulated)
	if simulated == nil then simulated = redis.call('HGET', job_key, 'simulated') end
	if simulated and not string.find(entry, '"simulated":true', 1, true) then
		entry = string.sub(entry, 1, -2) .. ',"simulated":true}'
	end
	redis.call('XADD', audit_key, '*', 'entry', entry)
end

-- The mark of a part or letter is how many calls in a row have taken their worker along, and "+" with the number of the lead that
-- makes one just now: "2", "0+1732690000123".
local function mark(name)
	local have = redis.call('HGET', begun_key, name)
	if not have then return 0, false end
	local crashes, called, by = string.match(have, '^(%d+)(%+?)(%d*)$')
	if not crashes then return 0, true end -- of an older worker
	return tonumber(crashes), called == '+', by
end

-- A job obeys the greatest lead that looked at it and knows no word of an earlier one any more. Nor does it take a word that was meant for
-- another server, which may have known more than this one; but what a call came to is true on any that has its mark.
-- lead: the fence of who takes the fleet's tasks, '' for nobody who takes tasks. name: of the part or letter that was called, if that counts.
-- last: the lead that the job has, if it was read. The word that it returns is the reply, see Ledger.run; nil where all is well.
local function stale(lead, name, last)
	if lead == '' then return end
	if last == nil then last = redis.call('HGET', job_key, 'lead') end
	if last and tonumber(last) > tonumber(number_of(lead)) then return 'stale' end
	if not other_server(lead) then return end
	local _, _, by = mark(name or '')
	if by ~= number_of(lead) then return 'replaced' end
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
