-- Before every script: the keys of one job, and what several scripts do with them.
local job_key, parts_key, state_key, begun_key, bad_key, seen_key, audit_key, copy_key = unpack(KEYS)

local function known() return redis.call('EXISTS', job_key) == 1 end

local function write_audit(entry) redis.call('XADD', audit_key, '*', 'entry', entry) end

-- What expires with the record: all but the audit trail, which stays.
local lasting = {job_key, parts_key, state_key, begun_key, bad_key, seen_key}

local function keep_record()
	for _, key in ipairs(lasting) do redis.call('PERSIST', key) end
end
