-- What a fence says, see Fence: the number of its term, '' where there is none, and whether the server that runs this script is another
-- one than those that it names. One that does not tell its run_id counts as the same.
local function number_of(fence) return string.match(fence, '^%d*') end

local function other_server(fence)
	local servers = string.match(fence, '@(.+)$')
	if not servers then return false end
	local info = redis.pcall('INFO', 'server')
	local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
	return not string.find(servers, server, 1, true)
end

