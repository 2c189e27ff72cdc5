package fleet

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	mutantsLike = flag.String("mutants", "", "play histories against the mutants whose names match, each built with its fault; . for all")
	mutantTime  = flag.Duration("mutant-time", 10*time.Minute, "how long to look for the fault of each")
)

// mutant is the code with one line gone wrong.
type mutant struct {
	name, promise string
	file          string // from the root of the module
	old, new      string
}

// mutants are faults that people make, each with the promise that it breaks. Histories have to find each one.
var mutants = []mutant{
	{"a settlement is not compared", "counted once", "internal/record/ledger/lua/settle.lua",
		"if (string.match(have, '^%d+') or '0') ~= version then return {0, have} end", "if false then return {0, have} end"},
	{"dead pairs are not counted", "counted once", "internal/record/ledger/lua/settle.lua", "count('dead', have_dead, dead)", "count('dead', have_dead, '0')"},
	{"what is adopted is not counted", "counted once", "internal/record/ledger/lua/claim.lua", "redis.call('HINCRBY', job_key, 'total', owned) end\n", "end\n"},
	{"an end can be changed", "counted once", "internal/record/ledger/state.go", "	default:\n		return false\n	}\n}\n\n// Settlement", "	default:\n		return true\n	}\n}\n\n// Settlement"},
	{"a call leaves no mark", "nothing lost", "internal/record/ledger/lua/claim.lua", "if begin == 'begin' and not cancelled_at then", "if begin == 'begin' and cancelled_at then"},
	{"a cancel settles what is being called", "nothing lost", "internal/record/ledger/lua/settle.lua", "if called then return {-1} end", ""},
	{"a cancelled job is called", "only what was asked", "internal/out/worker/visit.go", "	if c.Cancelled || time.Until(c.At) > 0 {\n		return false, wanted", "	if time.Until(c.At) > 0 {\n		return false, wanted"},
	{"whatever was offered may be called", "only what was asked", "internal/out/worker/visit.go", "	return c.Callable().Contains(asked.Within(share)), wanted", "	return true, wanted"},
	{"protected users are called", "only what was asked", "internal/out/worker/visit.go", "if v.w.cfg.Protected.User(id) {", "if false {"},
	{"a dead letter is counted and not enqueued", "nothing lost", "internal/out/worker/apart.go", "func (v *visit) putLetter(letter *tasks.Part) error {\n", "func (v *visit) putLetter(letter *tasks.Part) error {\n	return nil\n"},
	{"a dead letter that Redis lost stays lost", "nothing lost", "internal/record/ledger/lua/settle.lua", "tonumber(dead) > 0 and '' or name", "name"},
	{"a submission of which Redis lost half takes no other one", "nothing lost", "internal/record/ledger/lua/create.lua", "	if adopted == '' or", "	if true or"},
	{"the letter of a cancelled job is not kept", "nothing lost", "internal/out/worker/apart.go", "	return v.setDead(letter, dead)\n}\n", "	return v.settle(dead, heldBy(letter))\n}\n"},
	{"who has a role and no scope is cancelled", "nothing lost", "internal/record/ledger/state.go", "		if from.Given {\n", "		if false {\n"},
	{"a letter's name is enough", "nothing lost", "internal/out/worker/letters.go", "if err != nil || have != nil && same(have) {", "if err != nil || have != nil {"},
	{"a call settles the whole task", "nothing lost", "internal/out/worker/visit.go", "	open, given := v.claim.Open().Within(share), ", "	open, given := v.claim.Open(), "},
	{"a bad id condemns its batch", "the innocent unharmed", "internal/out/worker/apart.go", "	return v.deadLetter(about, f)\n}\n", "	return v.deadLetter(pairs.Rectangle{}, f)\n}\n"},
	{"the pacer is not told", "pace", "internal/out/worker/slot.go", "	if v.Action != outcome.Search {\n		g.api.pacer.Report", "	if v.Action == outcome.Search {\n		g.api.pacer.Report"},
	{"a share is of the first user", "nothing lost", "internal/out/worker/group.go", "			m.users[userAt[m.part.UserIDs[u]]] = u\n", "			m.users[userAt[m.part.UserIDs[u]]] = 0\n"},
	{"a share lacks its first position", "nothing lost", "internal/out/worker/group.go", "if p := positions[i]; p >= 0 {", "if p := positions[i]; p > 0 {"},
	{"busy is as good as removed", "nothing lost", "internal/out/outcome/outcome.go", "dingtalk.ClassBusy:      {Action: Retry,", "dingtalk.ClassBusy:      {Action: Settle,"},
	// Tried again like an answer in no table, it still begins a hold, and spends nothing while nothing else succeeds: that harms nobody.
	{"a missing permission is a user out of scope", "misconfiguration drains nothing", "internal/out/outcome/outcome.go", "dingtalk.ClassPermission:   holds(pace.HoldPermission),", "dingtalk.ClassPermission:   refuses(isolate.BlameUser, tasks.ReasonUserOutOfScope),"},
	{"the last children of a part are left out", "nothing lost", "internal/out/worker/split.go", "for u := 0; u < len(p.UserIDs); u += perUsers {", "for u := 0; u+perUsers <= len(p.UserIDs); u += perUsers {"},
	{"nothing is split", "limits", "internal/out/worker/handle.go", "	if !v.part.Fits() {\n		return v.split(ctx)\n	}\n", ""},
	{"a conflict is an error", "nothing lost", "internal/record/producer/producer.go", "	case errors.Is(err, asynq.ErrTaskIDConflict):\n		// Also", "	case errors.Is(err, asynq.ErrTaskNotFound):\n		// Also"},
	{"dead letters are due at once", "nothing lost", "internal/record/producer/producer.go", "asynq.Queue(tasks.QueueDeadLetter), asynq.ProcessAt(farFuture))", "asynq.Queue(tasks.QueueDeadLetter))"},
	{"lost tasks stay lost", "nothing lost", "internal/record/producer/repair.go", "		if !own {\n			return nil\n		}\n		there, err", "		if own || !own {\n			return nil\n		}\n		there, err"},
	{"slots are for everybody", "pace", "internal/out/pace/lua/ops.lua", "	local slot = max(now, (s.slot or 0) + 1 / rate())", "	local slot = now"},
	{"a pause is not kept", "pace", "internal/out/pace/lua/ops.lua", "	if s.pause_until and s.pause_until > now then return", "	if false then return"},
	{"nobody waits for the slot", "pace", "internal/out/pace/reserve.go", "		if !p.news.await(ctx, r.wait-time.Since(r.received), r.gen) {\n			continue\n		}\n		late :=", "		late :="},
	{"a lost reply stays lost", "nothing lost", "internal/base/queue/sweep.go", "	if len(again) > 0 {\n", "	if len(again) < 0 {\n"},
	{"a later lead takes nothing over", "nothing lost", "internal/base/queue/lua/back.lua", "if fence ~= number then redis.call('SET', fence_key, number) end\nlocal active", "if fence ~= number then redis.call('SET', fence_key, number) redis.call('DEL', active_key) return 0 end\nlocal active"},
	{"what joins a call is not counted", "limits", "internal/out/combine/take.go", "		if len(d.call.Users)+len(more) > d.pool.most.Users {\n			continue\n		}\n", ""},
	{"the last of two is guilty", "the innocent unharmed", "internal/out/isolate/axis.go", "		case len(m.ids) == 1:\n", "		case len(m.ids) <= 2:\n"},
	{"a restore and a removal wait for nobody", "the last word holds", "internal/out/worker/turns.go", "	case job != \"\":\n", "	case job == \"nobody\":\n"},
	{"what is not held is sent", "nobody by guess", "internal/in/preflight/rows.go", "	scope, holds := r.held[role][user]\n	if !holds {", "	scope := r.held[role][user]\n	if false {"},
	{"several are as good as one", "nobody by guess", "internal/in/resolve/resolve.go", "	case n == 1 && len(f.Left) == 0", "	case n >= 1 && len(f.Left) == 0"},
	{"a row that is shifted is taken", "nobody by guess", "internal/in/preflight/rows.go", "		if resolve.Contradicts(p.User, also) {", "		if false {"},
	{"administrators are taken", "nobody by guess", "internal/in/preflight/rows.go", "	if r.admins[p.User.UserID] || p.User.Admin && !r.req.EvenAdmins {", "	if false {"},
	{"what is not certain refuses nothing", "nobody by guess", "internal/in/resolver/decide.go", "n > 0 && !request.SkipUnresolved {", "n > 1000 && !request.SkipUnresolved {"},
	{"who could not be looked up is forgotten", "nothing lost", "internal/in/resolver/resolver.go", "	err = r.decide(ctx, d, job, request, lead)\n	span.End(err != nil)\n	if err != nil {", "	err = r.decide(ctx, d, job, request, lead)\n	span.End(err != nil)\n	if ctx.Err() != nil {"},
	{"a refused id is as good as removed", "nothing lost", "internal/out/isolate/search.go", "	if !answer.Passed {\n		return s.refused(r, answer)\n	}\n	for user, role", "	if !answer.Passed {\n		_ = s.refused(r, answer)\n	}\n	for user, role"},
}

// root is where the module begins.
const root = "../../.."

// mutated is the file with the fault.
func (m mutant) mutated(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		t.Errorf("%s: %v", m.name, err)
		return nil
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Errorf("%s: its line is %d times in %s: write the mutant anew", m.name, n, m.file)
		return nil
	}
	return []byte(strings.Replace(string(text), m.old, m.new, 1))
}

func TestEveryMutantIsStillAFaultOfTheCode(t *testing.T) {
	for _, m := range mutants {
		m.mutated(t)
	}
}

func TestHistoriesFindEveryMutant(t *testing.T) {
	if *mutantsLike == "" {
		t.Skip("-mutants . builds each of them and looks for its fault, for minutes each")
	}
	like := regexp.MustCompile(*mutantsLike)
	for _, m := range mutants {
		if !like.MatchString(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			binary := m.build(t)
			cmd := exec.Command(binary, "-test.run", "TestHistories$", "-seeds", "2000", "-stop", "-test.timeout", mutantTime.String())
			out, err := cmd.CombinedOutput()
			said := regexp.MustCompile(`(after [0-9.]+s: .*|panic: .*)`).FindString(string(out))
			after := regexp.MustCompile(`found after \d+ histories`).FindString(string(out))
			if err == nil || after == "" && !strings.Contains(said, "panic: ") || strings.Contains(said, "test timed out") {
				t.Fatalf("not found in 2000 histories, or %v; it breaks: %s; %.200s", mutantTime, m.promise, said)
			}
			t.Logf("%s (breaks: %s): %.200s", after, m.promise, said)
		})
	}
}

// build builds this package's test with the fault; the tree is not touched.
func (m mutant) build(t *testing.T) (binary string) {
	t.Helper()
	dir := t.TempDir()
	file, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	with := filepath.Join(dir, filepath.Base(m.file))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: with}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{with: m.mutated(t), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "mutant.test")
	if out, err := exec.Command("go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-c", "-vet=off", "-ldflags=-s -w", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}
