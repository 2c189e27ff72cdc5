-- Opens the record of a job that is not there, with its whole plan. entry: of the audit. seen: what a preflight saw, or ''. fields: how
-- many arguments are fields of the job, each as its name and its value; after them the parts, each as its name and its payload.
-- Returns 1; 0 where something of the job is there, which is left as it is.
local entry, seen, fields = unpack(ARGV)
local first_field = 4
local first_part = first_field + fields

if redis.call('EXISTS', job_key, parts_key) > 0 then return 0 end
redis.call('HSET', job_key, 'phase', 'planned', 'word', say(shared_key, 0), 'removed', 0, 'dead', 0, 'cancelled', 0, 'api_calls', 0,
	unpack(ARGV, first_field, first_part - 1))
redis.call('HSET', parts_key, unpack(ARGV, first_part))
if seen ~= '' then redis.call('SET', seen_key, seen) end
write_audit(entry)
return 1
