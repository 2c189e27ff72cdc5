-- Opens the record of a job, or finds it. A record in planning is replaced when its plan is another one: nothing was
-- enqueued from it yet. entry: of the audit, or ''. seen: what a preflight saw, or ''. lead: of the worker that has looked up whom a
-- job means, whose record is there then, or ''. Fields of the job follow, each as its name and its value.
local content, at, plan, planned_calls, entry, seen, lead = unpack(ARGV)
local first_field = 8

local function put_fields()
	for i = first_field, #ARGV, 2 do redis.call('HSET', job_key, ARGV[i], ARGV[i + 1]) end
	if seen ~= '' then redis.call('SET', seen_key, seen) end
	if entry ~= '' then write_audit(entry) end
end

local have = redis.call('HMGET', job_key, 'content', 'at', 'phase', 'plan', 'total', 'users', 'roles', 'created_at')
local have_content, have_at, phase, have_plan, total, users, roles, created_at = unpack(have)
if lead ~= '' then
	if stale(lead) then return {'stale'} end
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
if total then
	if have_content ~= content or (have_at or '') ~= at then
		return {'conflict', total, have_at or '', users or '0', roles or '0', created_at or '', have_content or ''}
	end
	if phase == 'planning' and have_plan ~= plan then
		redis.call('UNLINK', parts_key, state_key)
		redis.call('HSET', job_key, 'plan', plan, 'planned_calls', planned_calls)
	end
	return {phase}
end

redis.call('HSET', job_key, 'content', content, 'at', at, 'plan', plan, 'planned_calls', planned_calls, 'phase', 'planning',
	'removed', 0, 'dead', 0, 'cancelled', 0, 'api_calls', 0)
put_fields()
return {'created'}
