-- State: one hash of numbers and short texts, read whole and written back where it changed. Times are seconds of the
-- Redis clock, rates calls per second.
local state_key, tally_key = unpack(KEYS)
local op, cap, probe_every, probe_cap, refused_limit, bad_limit, channel, keep, answers = unpack(ARGV)
local first_arg = 10 -- what follows is the operation's own
cap, probe_every, probe_cap = tonumber(cap), tonumber(probe_every), tonumber(probe_cap)
refused_limit, bad_limit, keep = tonumber(refused_limit), tonumber(bad_limit), tonumber(keep)
local min, max = math.min, math.max

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local texts = {hold = true, hold_msg = true, hold_named = true, pause_scope = true, pause_why = true, phase = true}
local s, was = {}, {}
local flat = redis.call('HGETALL', state_key)
for i = 1, #flat, 2 do
	local k, v = flat[i], flat[i + 1]
	if not texts[k] then v = tonumber(v) end
	s[k], was[k] = v, v
end
-- The generation is what announcements are compared by; starting at the clock keeps it growing after a loss of data.
s.gen = s.gen or math.floor(now * 1000)

-- A Redis clock that was set back, or a failover to a machine whose clock is behind, must not turn every stored
-- moment into a long wait: all of them move with it.
local moments = {'clock', 'slot', 'cut_at', 'grow_at', 'first', 'load_at', 'edge_at', 'test_at', 'answer_at', 'out_since', 'out_next', 'pause_until',
	'pause_at', 'hold_since', 'hold_next'}
if s.clock and now < s.clock - 1 then
	local shift = now - s.clock
	for _, k in ipairs(moments) do
		if s[k] then s[k] = s[k] + shift end
	end
end
s.clock = now

local function text(v)
	if type(v) ~= 'number' then return v end
	if v == math.floor(v) then return string.format('%.0f', v) end
	return string.format('%.6f', v)
end

local announce = false

local function save()
	if announce then s.gen = s.gen + 1 end
	local put, drop = {}, {}
	for k, v in pairs(s) do
		if was[k] ~= v then
			put[#put + 1] = k
			put[#put + 1] = text(v)
		end
	end
	for k in pairs(was) do
		if s[k] == nil then drop[#drop + 1] = k end
	end
	if #put > 0 then redis.call('HSET', state_key, unpack(put)) end
	if #drop > 0 then redis.call('HDEL', state_key, unpack(drop)) end
	-- A user without channels loses the announcement, not the change: whoever waits looks again after a while.
	if announce then redis.pcall('PUBLISH', channel, text(s.gen)) end
end

-- Calls by answer and minute, a ring of eight minutes.
local tally = {}

local function count(kind)
	tally[kind] = (tally[kind] or 0) + 1
end

local function save_tally()
	if next(tally) == nil then return end
	local minute = math.floor(now / 60)
	local place = minute % 8
	if tonumber(redis.call('HGET', tally_key, place .. ':minute') or -1) ~= minute then
		for _, kind in ipairs({'accepted', 'refused', 'bad_request', 'busy', 'throttled', 'held', 'unknown'}) do
			redis.call('HDEL', tally_key, place .. ':' .. kind)
		end
		redis.call('HSET', tally_key, place .. ':minute', text(minute))
	end
	for kind, n in pairs(tally) do
		redis.call('HINCRBY', tally_key, place .. ':' .. kind, n)
	end
end

-- What nobody uses any more is forgotten, unless it is to be kept for good; a pause outlives that.
local function forget_later()
	if keep <= 0 then return end
	local life = math.ceil(keep + max(0, (s.pause_until or now) - now))
	redis.call('EXPIRE', state_key, life)
	redis.call('EXPIRE', tally_key, life)
end
