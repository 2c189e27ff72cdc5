-- Takes the entries before a place off the audit trail. One without any left goes, if the record is gone. Returns {1} then.
local place = ARGV[1]

redis.call('XTRIM', audit_key, 'MINID', place)
if redis.call('XLEN', audit_key) > 0 or known() then return {0} end
redis.call('UNLINK', audit_key)
return {1}
