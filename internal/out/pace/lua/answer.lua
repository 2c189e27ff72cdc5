-- Answers: what the end of a call does to pause, outage and hold.
local function end_outage()
	if not s.out_since then return end
	local r = max(rate(), 0.5 * min(s.out_rate or cap, cap))
	s.out_since, s.out_next, s.out_gap = nil, nil, nil
	forget_capacity()
	go(r, max(s.out_rate or cap, r))
	s.out_rate = nil
	announce = true
end

local function hold(kind, message, named, sticky)
	if s.hold and s.hold_sticky and not sticky then return end
	if s.hold ~= kind then
		if not s.hold then s.hold_since, s.hold_seq, s.hold_next = now, s.seq or 0, now + probe_every end
		s.hold = kind
		announce = true
	end
	if sticky then s.hold_sticky = 1 end
	s.hold_msg, s.hold_named = message, named
end

local function clear_hold()
	for _, k in ipairs({'hold', 'hold_msg', 'hold_named', 'hold_since', 'hold_seq', 'hold_next', 'hold_sticky'}) do
		s[k] = nil
	end
	announce = true
end

-- answered notes that DingTalk dealt with a call, whatever it said: it is up and not overloaded.
local function answered(seq)
	s.row_busy, s.answer_at = 0, now
	end_outage()
	if s.pause_n and seq > s.pause_seq then s.pause_n = nil end
	control(seq, false)
end

-- worked notes that a call got as far as its ids: credentials and permission are good. A call granted before the hold
-- proves nothing about now.
local function worked(seq)
	answered(seq)
	if s.hold and not s.hold_sticky and seq > s.hold_seq then clear_hold() end
end

local function busy(seq)
	s.row_busy = (s.row_busy or 0) + 1
	if s.row_busy == 1 then s.out_before = rate() end
	if s.row_busy >= 8 and now - (s.answer_at or 0) >= 2 then
		if not s.out_since then
			s.out_since, s.out_gap, s.out_rate = now, 1, s.out_before or cap
			s.out_next = now + s.out_gap
			announce = true
		end
		return
	end
	control(seq, true)
end

local function throttled(seq, o)
	local length = o.p or 0
	local repeated = seq > (s.pause_seq or -1)
	if repeated then
		if s.pause_scope == o.s then s.pause_n = (s.pause_n or 0) + 1 else s.pause_n = 1 end
		s.pause_scope, s.pause_seq, s.pause_at = o.s, s.seq or 0, now
		local r = rate()
		go(r * (o.s == 'api' and 0.9 or 0.75), r)
	end
	if o.g == 1 then length = min(o.m, length * 2 ^ ((s.pause_n or 1) - 1)) end
	local to = now + length
	-- The limit of one API is counted by calendar second: the next one is the earliest moment that can be better.
	if o.s == 'api' then to = max(to, math.floor(now) + 1.02) end
	if to > (s.pause_until or 0) then
		s.pause_until, s.pause_why = to, o.w
		announce = true
	end
end

local function refused(seq, o)
	if o.i and o.i > 0 and s.refusals_known ~= 1 then
		s.refused_ids = (s.refused_ids or 0) + o.i
		if refused_limit > 0 and s.refused_ids >= refused_limit then
			hold('everything_refused', text(s.refused_ids) .. ' ids were refused as invalid and no call was accepted', '', true)
		end
	end
end

local function bad_request(o)
	s.bad_row = (s.bad_row or 0) + (o.b or 0)
	if bad_limit > 0 and s.bad_row >= bad_limit then
		hold('bad_requests', text(s.bad_row) .. ' different batches were refused as bad requests and no call was accepted', '', false)
	end
end

local function take_answers(list)
	for _, o in ipairs(list) do
		local seq = o.q or 0
		if o.k ~= 'unused' then
			count(o.k)
			s.ceiling = cap -- who calls sets the pace; who only looks, or asks, may have another ceiling
		end
		if o.k == 'accepted' then
			s.accepted = (s.accepted or 0) + 1
			s.refused_ids, s.bad_row, s.refusals_known = nil, nil, nil
			worked(seq)
		elseif o.k == 'refused' then
			worked(seq)
			refused(seq, o)
		elseif o.k == 'bad_request' then
			answered(seq)
			bad_request(o)
		elseif o.k == 'unknown' then
			answered(seq)
		elseif o.k == 'busy' then
			busy(seq)
		elseif o.k == 'throttled' then
			throttled(seq, o)
		elseif o.k == 'held' then
			hold(o.h, o.t or '', o.n or '', o.y == 1)
		end
	end
end
