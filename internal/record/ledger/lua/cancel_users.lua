-- Notes that persons of the job are to keep their roles: what was not called yet is not. Each follows as the field and the
-- value of the job's ids. Returns {1} where one of them is new, {0} where all were noted before, {-2} without a job.
local entry = ARGV[1]
local first_field = 2

if not known() then return {-2} end
local new = 0
for i = first_field, #ARGV, 2 do
	if redis.call('HSETNX', bad_key, ARGV[i], ARGV[i + 1]) == 1 then new = 1 end
end
if new == 1 then write_audit(entry) end
return {new}
