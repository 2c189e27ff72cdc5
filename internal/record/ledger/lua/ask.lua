-- Opens the record of a job whose people and roles are still to be looked up, or finds it. request: what was asked. entry: of the
-- audit. Fields of the job follow, each as its name and its value.
local content, at, request, entry = unpack(ARGV)
local first_field = 5

local have_content, have_at, created_at = unpack(redis.call('HMGET', job_key, 'content', 'at', 'created_at'))
if known() then
	if have_content ~= content or (have_at or '') ~= at then return {'conflict', created_at or '', have_at or '', have_content or ''} end
	return {'existed'}
end
redis.call('HSET', job_key, 'content', content, 'at', at, 'phase', 'resolving', 'total', 0, 'removed', 0, 'dead', 0, 'cancelled', 0, 'api_calls', 0)
for i = first_field, #ARGV, 2 do redis.call('HSET', job_key, ARGV[i], ARGV[i + 1]) end
redis.call('SET', asked_key, request)
write_audit(entry)
return {'created'}
