-- Writes the audit trail anew with other texts in some of its entries, each at its place. Changes follow, each as the place
-- and the text.
local instead = {}
for i = 1, #ARGV, 2 do instead[ARGV[i]] = ARGV[i + 1] end

redis.call('UNLINK', copy_key)
for _, x in ipairs(redis.call('XRANGE', audit_key, '-', '+')) do
	local place, fields = x[1], x[2]
	if instead[place] then fields = {'entry', instead[place]} end
	redis.call('XADD', copy_key, place, unpack(fields))
end
if redis.call('EXISTS', copy_key) == 1 then redis.call('RENAME', copy_key, audit_key) end
return {1}
