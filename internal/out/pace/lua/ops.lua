-- Operations. Every reply starts with a word, a wait in microseconds, the generation; a grant has its number, the count
-- of accepted calls, the time between two slots and how many of them it is besides.
local NEAR, MOST = 0.002, 16 -- slots within so many seconds are given at once, up to so many
local function reply(word, wait, ...)
	save()
	save_tally()
	forget_later()
	return {word, math.ceil(max(0, wait) * 1000000), s.gen, ...}
end

local function grant(slot, word, slots)
	local first, spacing = (s.seq or 0) + 1, math.ceil(1000000 / rate())
	s.seq = first + slots - 1
	s.slot = slot + (slots - 1) * spacing / 1000000
	return reply(word, slot - now, first, s.accepted or 0, spacing, slots)
end

if answers ~= '' then take_answers(cjson.decode(answers)) end

if op == 'reserve' then
	if s.hold and s.hold_sticky then return reply('held', 60) end
	if s.pause_until and s.pause_until > now then return reply('paused', s.pause_until - now) end
	if s.hold then
		if now < s.hold_next then return reply('held', s.hold_next - now) end
		s.hold_next = now + probe_every
		return grant(now, 'probe', 1)
	end
	if s.out_since then
		if now < s.out_next then return reply('outage', s.out_next - now) end
		s.out_gap = min(probe_cap, s.out_gap * 2)
		s.out_next = now + s.out_gap
		return grant(now, 'probe', 1)
	end
	local slot = max(now, (s.slot or 0) + 1 / rate())
	-- A slot far ahead would be kept although the rate may change; who asks later gets a better one.
	if slot - now > 5 then return reply('later', 2.5) end
	return grant(slot, 'granted', min(MOST, 1 + math.floor(NEAR * rate())))
elseif op == 'report' then
	return reply('ok', 0)
elseif op == 'hold' then
	local kind, message, named, sticky = unpack(ARGV, first_arg)
	hold(kind, message, named, sticky == '1')
	return reply('ok', 0)
elseif op == 'clear' then
	local held = #ARGV < first_arg and s.hold
	for i = first_arg, #ARGV do
		if ARGV[i] == s.hold then held = s.hold end
	end
	if held then
		if held == 'everything_refused' then s.refusals_known = 1 end
		s.refused_ids, s.bad_row = nil, nil
		clear_hold()
	end
	return reply(held or '', 0)
elseif op == 'status' then
	cap = s.ceiling or cap
	local out = {'now', text(now), 'rate', text(rate())}
	for k, v in pairs(s) do
		out[#out + 1] = k
		out[#out + 1] = text(v)
	end
	return {out, redis.call('HGETALL', tally_key)}
end
return redis.error_reply('pace: unknown operation ' .. op)
