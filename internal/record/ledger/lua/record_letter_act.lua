-- Writes into the audit what is about to happen to dead letters. mode: 'replay' to refuse a cancelled job.
-- Returns a Standing: {0} recorded, {1} no such job, {2} cancelled.
local entry, mode = unpack(ARGV)

if not known() then return {1} end
if mode == 'replay' and redis.call('HEXISTS', job_key, 'cancelled_at') == 1 then return {2} end
write_audit(entry)
return {0}
