-- Control: the rate that busy answers leave to the fleet. A busy answer comes by chance, whatever the rate, or by load,
-- because the rate is over what DingTalk takes; slowing down helps against load only. So an unexpected share of busy
-- answers is met by a test: go a little below what still passes, and see whether the share falls (a sequential
-- likelihood ratio). If it does not, the share is tolerated and the rate returns; if it does, the capacity is known,
-- and the rate moves around it along a cubic curve (flat near the capacity, steeper on either side, as TCP CUBIC).
local CERTAIN = 4         -- log-likelihood by which one explanation must beat the other: one in fifty goes wrong
local EXCESS = 0.2        -- what the alarm listens for: busy answers among a fifth of the calls that succeeded so far
local QUIET = 0.04        -- a chance share below which a single busy answer at the edge of the capacity means load
local MEMORY = 100        -- calls that the chance share is taken from
local FEW, ENOUGH = 8, 30 -- calls that a share is judged by at least, and that a test takes at most
local SECOND = 1          -- DingTalk counts by the second: what passes is measured, and a cut works, after a whole one
local HEAVY = 0.4         -- a share of busy answers that says that the second is spent
local BELOW = 0.9         -- of the rate that passes: where to test
local CUT = 0.91          -- of the capacity: where the curve begins
local EDGE = 0.985        -- of the capacity: from here on busy answers are expected
local CURVE = 0.0035      -- steepness per second cubed: from 9 % below to 9 % above the capacity takes 6 s, twice the capacity 10 s
local LOWEST = min(cap, 0.1)

-- rate climbs from s.r to the plateau s.wt and, when nothing happens, beyond. No plateau means the ceiling.
local function rate()
	if not s.wt then return cap end
	local k = (max(0, 1 - s.r / s.wt) / CURVE) ^ (1 / 3)
	local v = s.wt * (1 + CURVE * (s.age - k) ^ 3)
	return max(LOWEST, min(cap, max(s.r, v)))
end

-- go sets the rate; from there the curve climbs to plateau and beyond. Calls granted before count no more.
local function go(r, plateau)
	s.r, s.wt, s.age = max(LOWEST, min(cap, r)), max(LOWEST, plateau), 0
	s.cut_seq, s.cut_at, s.grow_at = s.seq or 0, now, now
	s.n, s.b, s.alarm, s.first, s.phase, s.settled, s.heavy = 0, 0, 0, nil, nil, nil, nil
	if s.r >= cap then s.wt, s.capacity = nil, nil end
end

local function forget_capacity()
	s.capacity, s.proven, s.load_r = nil, nil, nil
end

-- learn adds calls to the chance share. It starts from a guess that takes twenty calls to outweigh.
local function learn(n, b)
	s.calm_n, s.calm_b = s.calm_n + n, s.calm_b + b
	if s.calm_n > MEMORY then s.calm_n, s.calm_b = MEMORY, s.calm_b * MEMORY / s.calm_n end
	s.floor = s.calm_b / s.calm_n
end

local function fit(n, b)
	local p = b / n
	return (b > 0 and b * math.log(p) or 0) + (b < n and (n - b) * math.log(1 - p) or 0)
end

-- differs says whether b of n is certainly a higher share than what chance explains.
local function differs(n, b)
	local m, c = s.calm_n, s.calm_b
	return b / n > c / m and fit(n, b) + fit(m, c) - fit(n + m, b + c) > CERTAIN
end

-- start_test goes below what passes. b of n calls were busy until now.
local function start_test(n, b, passed)
	local from = rate()
	local to = max(0.02 * from, BELOW * min(from, passed / (1 - min(0.9, s.floor))))
	go(to, to)
	s.phase, s.from, s.n1, s.b1, s.n2, s.b2, s.llr = 'test', from, n, b, 0, 0, 0
	-- After so many busy answers the second is spent, and its rest says nothing.
	if b > HEAVY * n then s.heavy = 1 end
end

-- return_to_top ends a capacity that chance explains as well.
local function return_to_top(r)
	r = max(r, s.load_r)
	forget_capacity()
	go(r, r)
end

local function explained() return s.load_r and not differs(s.load_n, s.load_b) end

-- found_chance returns to the rate before the test. The test is repeated ever more seldom, should it have been wrong.
local function found_chance()
	local n, b = s.n1 + s.n2, s.b1 + s.b2
	s.calm_n, s.calm_b = 0, 0
	learn(n + 1, b + 0.5)
	s.gap = min(3600, 2 * (s.gap or 15))
	s.test_at = now + s.gap
	if explained() then return return_to_top(s.from) end
	go(s.from, s.from)
end

local function found_load()
	local r, seen = rate(), s.b2 / s.n2
	local capacity = r / BELOW
	if s.b2 >= 2 and seen > s.floor + 0.1 then
		capacity = r * (1 - seen) / (1 - s.floor)
	else
		learn(s.n2, s.b2)
	end
	if not differs(s.n1, s.b1) then return go(s.from, s.from) end
	if not s.load_r or s.from >= s.load_r or now - s.load_at > 60 then
		s.load_r, s.load_n, s.load_b, s.load_at = s.from, s.n1, s.b1, now
	end
	s.capacity, s.proven, s.gap, s.test_at = capacity, capacity, nil, nil
	go(capacity * CUT, capacity)
end

-- judge weighs one answer of a test: by how much does "the share is what it was" foresee it better than "it is what
-- chance left before", each learning as it goes. A test that shows nothing has not shown that going slower helps.
local function judge(busy)
	local same = (s.b1 + s.b2 + 0.5) / (s.n1 + s.n2 + 1)
	local fallen = min(same, (20 * max(0.02, s.floor) + s.b2) / (20 + s.n2))
	s.llr = s.llr + (busy and math.log(same / fallen) or math.log((1 - same) / (1 - fallen)))
	s.n2, s.b2 = s.n2 + 1, s.b2 + (busy and 1 or 0)
	if s.llr < -CERTAIN or s.n2 >= ENOUGH and s.b2 == 0 then return found_load() end
	if s.llr > CERTAIN and s.n2 >= FEW or s.n2 >= ENOUGH then return found_chance() end
end

-- measure waits until a whole second shows how many calls pass, and whether the share is really another one: the
-- calls that raised the alarm were picked for being busy and prove little.
local function measure()
	local took = now - s.first
	if took < SECOND or s.n < FEW or s.b == s.n or not differs(s.n, s.b) then return end
	local passed = s.passed / took
	-- A fleet that calls less than it may shows a share but not what could pass.
	if s.n < 0.4 * rate() * took then passed = rate() * (1 - s.b / s.n) end
	start_test(s.n, s.b, passed)
end

local function start_measuring()
	s.phase = 'measure'
	-- Where chance is known to be at work, the calls that raised the alarm are its work more often than not.
	if s.floor >= QUIET then
		learn(s.n, s.b)
		s.first, s.passed = now, 0
	end
	s.n, s.b = 0, 0
end

-- met_the_edge lowers the capacity to what the busy answer says: a little for a first one, to what passed between the
-- two for one that follows at once. The curve has mostly passed an unchanged capacity, so that the old one still counts.
local function met_the_edge()
	local r = rate()
	local to, since = 0.97 * r, now - (s.edge_at or 0)
	if r > 1.03 * s.capacity and r < 1.5 * s.capacity then to = s.capacity + 0.1 * (to - s.capacity) end
	if since < 2 * SECOND and s.passed_edge >= 3 then
		to = max(0.7 * r, min(to, s.passed_edge / since / (1 - s.floor)))
	end
	-- So far below what a test proved, the capacity is another one, or it is chance after all. What came in since the
	-- edge was met first belongs to the measure where it is all of the new kind.
	if to < 0.8 * s.proven then
		start_measuring()
		if s.floor < QUIET and since < 2 * SECOND and s.edge_b > HEAVY * s.edge_n then
			s.first, s.passed, s.n, s.b = s.edge_at, s.passed_edge, s.edge_n, s.edge_b
			measure()
		end
		return
	end
	if r < EDGE * s.capacity then learn(s.n, s.b) end
	s.capacity, s.proven, s.edge_at, s.passed_edge, s.edge_n, s.edge_b = to, max(s.proven, to), now, 0, 0, 0
	go(to * CUT, to)
end

local function start_over()
	s.n, s.b, s.alarm, s.first, s.phase = 0, 0, 0, nil, nil
end

-- all_calm ends a run of answers that chance explains.
local function all_calm()
	if not s.capacity or rate() < EDGE * s.capacity or s.floor >= QUIET then learn(s.n, s.b) end
	start_over()
	if s.capacity and explained() then return return_to_top(rate()) end
	if s.test_at and now > s.test_at and s.floor > QUIET then
		s.gap = min(3600, 2 * s.gap)
		s.test_at = now + s.gap
		start_test(s.calm_n, s.calm_b, rate() * (1 - s.floor))
	end
end

-- settled says whether what comes in belongs to the present rate: until the first success, or for a second, busy
-- answers are the old one's.
local function settled(busy)
	if not s.settled and s.cut_at and (busy or s.heavy) and now - s.cut_at < SECOND then return false end
	s.settled = 1
	return true
end

-- control takes the end of one call that DingTalk answered, busy or not.
local function control(seq, busy)
	if not busy then s.passed_edge = (s.passed_edge or 0) + 1 end
	s.edge_n, s.edge_b = (s.edge_n or 0) + 1, (s.edge_b or 0) + (busy and 1 or 0)
	if seq <= (s.cut_seq or 0) or not settled(busy) then return end
	if not s.calm_n then
		s.calm_n, s.calm_b = 0, 0
		learn(20, 0.3)
	end
	if s.phase == 'test' then return judge(busy) end
	-- The alarm is a cumulative sum: how much better a share raised by EXCESS foresees what came in since it was zero.
	local usual = max(0.01, min(0.8, s.floor))
	local raised = usual + EXCESS * (1 - usual)
	s.n, s.b = (s.n or 0) + 1, (s.b or 0) + (busy and 1 or 0)
	s.alarm = (s.alarm or 0) + (busy and math.log(raised / usual) or math.log((1 - raised) / (1 - usual)))
	if s.alarm <= 0 then all_calm() end
	if s.phase == 'test' then return end
	if busy and not s.first then s.first, s.passed = now, 0 end
	if s.first and not busy then s.passed = s.passed + 1 end
	if s.phase == 'measure' then
		if busy then return measure() end
		-- More than a second in which nothing passed was an outage, however short: it says nothing about the rate.
		if s.n > FEW and s.b == s.n - 1 and now - s.first > SECOND then start_over() end
		return
	end
	if busy then
		local near = s.capacity and (rate() >= EDGE * s.capacity or now - (s.edge_at or 0) < 2 * SECOND)
		if near and s.floor < QUIET then return met_the_edge() end
		if s.alarm > CERTAIN then start_measuring() end
	elseif s.wt then
		s.age = min(100, s.age + min(1, max(0, now - s.grow_at)))
		s.grow_at = now
		if rate() >= cap then s.wt, s.capacity = nil, nil end
	end
end
