-- Control: the rate that busy answers leave to the fleet. Between troubles it climbs a cubic curve (flat near the rate
-- that last met trouble, steeper on either side, as TCP CUBIC does), and it tells overload from chance by whether
-- going slower lowers the share of busy answers.
local CURVE, SMALL_CUT, DEEPEST_CUT = 0.008, 0.9, 0.5
local SETTLE = 1       -- seconds after a deep cut in which the old rate still weighs: DingTalk counts by the second
local CERTAIN = 3      -- log-likelihood by which one explanation must beat the other
local MEMORY = 60      -- seconds for which a sample says something about now
local LOWEST = min(cap, 0.1)

local function rate()
	if not s.wt then return cap end
	local k = (max(0, 1 - s.r / s.wt) / CURVE) ^ (1 / 3)
	local v = s.wt * (1 + CURVE * (s.age - k) ^ 3)
	return max(LOWEST, min(cap, max(s.r, v)))
end

-- Samples are what was seen at one rate: calls and busy answers, kept as "rate,calls,busy,time;".
local function samples()
	local out = {}
	for r, n, b, at in string.gmatch(s.samples or '', '([^,;]+),([^,;]+),([^,;]+),([^,;]+);') do
		if now - tonumber(at) < MEMORY then
			out[#out + 1] = {r = tonumber(r), n = tonumber(n), b = tonumber(b), at = tonumber(at)}
		end
	end
	if (s.n or 0) > 0 then out[#out + 1] = {r = s.rsum / s.n, n = s.n, b = s.b, at = now} end
	return out
end

local function close_sample()
	local kept = samples()
	local out = {}
	for i = max(1, #kept - 7), #kept do
		local e = kept[i]
		out[#out + 1] = string.format('%.3f,%d,%d,%.3f;', e.r, e.n, e.b, e.at)
	end
	s.samples = table.concat(out)
	s.n, s.b, s.rsum = 0, 0, 0
end

local function forget_samples()
	s.samples, s.deep, s.n, s.b, s.rsum = nil, nil, 0, 0, 0
end

-- go sets the rate; from there the curve climbs to plateau and, if nothing happens, beyond.
local function go(r, plateau)
	close_sample()
	s.r, s.wt, s.age = max(LOWEST, min(cap, r)), max(LOWEST, plateau), 0
	s.cut_seq, s.cut_at, s.grow_at, s.alarm = s.seq or 0, now, now, 0
end

local function fit(e, p)
	p = min(0.97, max(0.01, p))
	return e.b * math.log(p) + (e.n - e.b) * math.log(1 - p)
end

-- chance_over_load compares two explanations of the samples: one share of busy answers at all rates (chance), or a
-- number of calls per second beyond which every call is busy (load). Positive speaks for chance. The share and the
-- highest rate that chance would mean come along.
local function chance_over_load()
	local list = samples()
	local n, b, top, low, low_busy = 0, 0, 0, math.huge, 0
	for _, e in ipairs(list) do
		n, b, top = n + e.n, b + e.b, max(top, e.r)
	end
	if n == 0 then return 0, 0, top end
	for _, e in ipairs(list) do
		if e.r <= 0.85 * top then low_busy = low_busy + e.b end
	end
	local chance, load, base = 0, -math.huge, s.floor or 0
	for _, e in ipairs(list) do chance = chance + fit(e, b / n) end
	for i = 1, 40 do
		local c, sum = top * i / 40, 0
		for _, e in ipairs(list) do sum = sum + fit(e, base + (1 - base) * max(0, 1 - c / e.r)) end
		load = max(load, sum)
	end
	-- Chance has to show at a rate that is clearly lower.
	local weight = chance - load
	if low_busy < 2 then weight = min(weight, 0) end
	return weight, b / n, top
end

local function found_chance(share, top)
	s.floor, s.phase, s.load_at, s.stubborn = share, nil, nil, nil
	go(top, top)
	forget_samples()
end

-- load_known says that a capacity of about this rate was established not long ago: then there is no need to test
-- again. Trouble far below it is something else.
local function load_known() return s.load_at and now - s.load_at < MEMORY and rate() >= 0.8 * s.load_rate end

-- start_up_test goes back to where the trouble began: where going slower does not help, a second at the old rate tells
-- chance from load at once, while ever slower tests take ever longer. Each one that finds load doubles the time to the next.
local function start_up_test()
	local to = s.ep_r or cap
	if rate() > 0.6 * to or (s.up_at and now - s.up_at < (s.up_gap or 0)) then return false end
	s.phase, s.up_at, s.up_gap, s.up_from = 'up', now, min(3600, max(30, 2 * (s.up_gap or 0))), rate()
	go(to, to)
	return true
end

local function judge_up_test()
	local after = now - s.cut_at
	if after < 1 or s.n < 8 then return end
	local weight, share, top = chance_over_load()
	if weight > 1 and share < 0.55 then
		s.up_at, s.up_gap = nil, nil
		return found_chance(share, top)
	end
	s.stubborn, s.phase, s.load_at, s.load_rate = nil, 'small', now, (s.n - s.b) / after
	go(max(s.up_from, s.load_rate), max(s.up_from, s.load_rate) * 1.03)
end

local function judge_test()
	if now - s.cut_at < SETTLE then
		s.n, s.b, s.rsum = 0, 0, 0
		return
	end
	if s.n < 6 then return end
	local weight, share, top = chance_over_load()
	if weight > (s.n < 24 and CERTAIN or 1) and share < 0.5 then return found_chance(share, top) end
	if s.n < 8 or weight > (s.n < 12 and -CERTAIN or -1) and s.n < 24 then return end
	local r, seen = rate(), s.b / s.n
	if s.floor and s.n >= 12 and seen < s.floor then s.floor = seen end
	local excess = max(0, seen - (s.floor or 0))
	s.load_at, s.load_rate = now, r * (1 - excess)
	if excess > 0.03 then
		s.stubborn = (s.stubborn or 0) + 1
		if s.stubborn >= 2 and start_up_test() then return end
		s.phase = 'small'
		local lower = r * max(DEEPEST_CUT, (1 - excess) * 0.97)
		go(lower, lower * 1.03)
	else
		s.phase = nil
		go(r, r * 1.1)
		forget_samples()
	end
end

-- start_test goes clearly slower to see whether that helps.
local function start_test()
	local r, seen = rate(), s.b / s.n
	s.phase = 'test'
	-- Before the trouble the capacity may have been another one.
	if not s.deep then s.samples, s.deep = nil, 1 end
	local lower = r * max(DEEPEST_CUT, (1 - seen) * 0.8)
	go(lower, lower)
end

local function trouble()
	local weight, share, top = chance_over_load()
	if weight > CERTAIN and share < 0.5 then return found_chance(share, top) end
	local r = rate()
	if load_known() then
		forget_samples()
	elseif s.load_at then
		s.stubborn = (s.stubborn or 0) + 1
		if s.stubborn >= 2 and start_up_test() then return end
	end
	if r > 0.6 * (s.ep_r or 0) then s.ep_r = max(r, (s.load_at and s.ep_r) or r) end
	s.phase = 'small'
	go(r * SMALL_CUT, r * 0.96)
end

-- judge_small_cut decides, one whole second after a small cut, whether it was enough.
local function judge_small_cut(limit)
	local after = now - s.cut_at
	if after < 1 then
		if after >= 0.3 and s.n >= 5 and s.b >= 0.8 * s.n and not load_known() then start_test() end
		return
	end
	if s.n < 5 and after < 3 then return end
	local base, r = s.floor or 0, rate()
	local excess, noise = s.b - base * s.n, 1.5 * math.sqrt(s.n * base * (1 - base))
	if s.alarm <= limit and excess < 1 + noise then
		s.phase = nil
		if load_known() then s.load_at, s.load_rate = now, max(s.load_rate, r) end
	elseif excess < 2 + noise then
		go(r * SMALL_CUT, r)
	elseif load_known() then
		-- What passed in a whole second is the capacity.
		local weight, share, top = chance_over_load()
		if weight > CERTAIN and share < 0.5 then return found_chance(share, top) end
		local passed = (s.n - excess) / after
		local lower = max(r * DEEPEST_CUT, passed)
		go(lower, lower * 1.03)
	else
		start_test()
	end
end

-- control takes the outcome of one call that DingTalk answered, busy or not.
local function control(seq, busy)
	if seq <= (s.cut_seq or 0) then return end
	local base = s.floor or 0
	s.n, s.b, s.rsum = (s.n or 0) + 1, (s.b or 0) + (busy and 1 or 0), (s.rsum or 0) + rate()
	if s.phase == 'test' then return judge_test() end
	if s.phase == 'up' then return judge_up_test() end
	-- A cumulative sum of what chance does not explain; without a floor every busy answer is an alarm.
	local drift, limit = 0.02, 0.5
	if base > 0 then drift, limit = base + max(0.05, 0.4 * base), 4 + 14 * base * (1 - base) end
	s.alarm = max(0, (s.alarm or 0) + (busy and 1 or 0) - drift)
	if s.phase == 'small' then return judge_small_cut(limit) end
	if busy and s.alarm > limit then return trouble() end
	if not busy and s.wt then
		s.age = min(100, s.age + min(1, max(0, now - s.grow_at)))
		s.grow_at = now
		-- Where nothing is met far beyond the last trouble, the capacity is another one.
		if s.samples and rate() > 1.15 * s.wt then forget_samples() end
	end
	if s.n >= 40 then
		local seen = s.b / s.n
		if base > 0 and (seen < base or (seen < base + 0.1 and rate() >= cap * 0.99)) then
			s.floor = base + 0.25 * (seen - base)
			if s.floor < 0.01 then s.floor = nil end
		end
		close_sample()
	end
end
