-- Opens the record of a job, or finds it. A record in planning is replaced when its plan is another one: nothing was
-- enqueued from it yet. entry: of the audit, or ''. seen: what a preflight saw, or ''. lead: of the worker that has looked up whom a
-- job means, whose record is there then, or ''. adopted: how many parts of an adopted record are known to be of this plan, or ''.
-- retention: in ms, of a job that has no pair, or ''. Fields of the job follow, each as its name and its value.
local content, at, plan, planned_calls, entry, seen, lead, adopted, retention, now = unpack(ARGV)
local first_field = 11

local function put_fields()
	redis.call('HSET', job_key, unpack(ARGV, first_field))
	if seen ~= '' then redis.call('SET', seen_key, seen) end
	if entry ~= '' then write_audit(entry) end
end

-- What has no pair is over with its record.
local function created()
	if retention == '' then return {'created'} end
	redis.call('HSET', job_key, 'phase', 'submitted', 'finished_at', now, 'touched_at', now)
	redis.call('HDEL', job_key, 'plan')
	for _, key in ipairs(lasting) do redis.call('PEXPIRE', key, retention) end
	return {'over'}
end

local have = redis.call('HMGET', job_key, 'content', 'at', 'phase', 'plan', 'total', 'users', 'roles', 'created_at', 'source', 'adopted')
local have_content, have_at, phase, have_plan, total, users, roles, created_at, source, was_adopted = unpack(have)
if lead ~= '' then
	local why = stale(lead)
	if why then return {why} end
	if not resolving(phase) then return {phase or 'gone'} end
	-- An earlier lead may have come so far: what it saw, and whether somebody has to approve, is looked at anew.
	local again = phase == 'planning' and have_plan == plan
	if again then entry = '' else redis.call('UNLINK', parts_key, state_key) end
	redis.call('UNLINK', seen_key)
	redis.call('HDEL', job_key, 'awaiting', 'other_approves', 'last_look', 'unresolved_rows', 'more_unresolved')
	redis.call('HSET', job_key, 'plan', plan, 'planned_calls', planned_calls, 'phase', 'planning')
	put_fields()
	return {again and phase or 'created'}
end
if total and not have_content and source == 'queue' then
	if adopted == '' or redis.call('HLEN', parts_key) ~= tonumber(adopted) then
		return {'adopted', total, have_at or '', users or '0', roles or '0', created_at or '', ''}
	end
	redis.call('HSET', job_key, 'content', content, 'at', at, 'plan', plan, 'planned_calls', planned_calls, 'phase', 'planning', 'adopted', 1)
	redis.call('HDEL', job_key, 'finished_at')
	keep_record()
	put_fields()
	return {'created'}
end
-- What a restore gives back depends on the moment: of one that was interrupted before anything was enqueued, the same request
-- may have come to other pairs by now.
local function asked_again()
	local have_asked = redis.call('HGET', job_key, 'asked')
	for i = first_field, #ARGV, 2 do
		if ARGV[i] == 'asked' then return have_asked == ARGV[i + 1] end
	end
	return false
end
if total and phase == 'planning' and not was_adopted and have_content ~= content and (have_at or '') == at and asked_again() then
	redis.call('UNLINK', parts_key, state_key, seen_key)
	redis.call('HDEL', job_key, 'awaiting', 'other_approves', 'last_look')
	redis.call('HSET', job_key, 'content', content, 'plan', plan, 'planned_calls', planned_calls)
	put_fields()
	return created()
end
if total then
	if have_content ~= content or (have_at or '') ~= at then
		return {'conflict', total, have_at or '', users or '0', roles or '0', created_at or '', have_content or ''}
	end
	if phase == 'planning' and have_plan ~= plan then
		-- Workers have parts of that plan in their hands, and what they did is counted.
		if was_adopted then return {'adopted', total, have_at or '', users or '0', roles or '0', created_at or '', ''} end
		redis.call('UNLINK', parts_key, state_key)
		redis.call('HSET', job_key, 'plan', plan, 'planned_calls', planned_calls)
	end
	return {phase}
end

redis.call('HSET', job_key, 'content', content, 'at', at, 'plan', plan, 'planned_calls', planned_calls, 'phase', 'planning',
	'removed', 0, 'dead', 0, 'cancelled', 0, 'api_calls', 0)
put_fields()
return created()
