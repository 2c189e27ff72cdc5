package worker

import (
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/record/ledger"
)

// group is a rectangle to be called with the tasks that it serves.
type group struct {
	api *api
	// scope, when set, is what the one pair of the group is given besides.
	scope []int64
	// witness, when set, is the pair that the group repeats for its one task, to prove that DingTalk is up.
	witness *witness
	lane    int
	users   []string
	roles   []int64
	whole   pairs.Rectangle // all of it; others are positions in the lists too
	members []*member
	// owners are tasks that own pairs of the call under way which its members do not count.
	owners []*visit
}

// member is one task's share in a group.
type member struct {
	*stay
	users  []pairs.User // position in the task's part of each user of the group, -1 where the task has no such user
	roles  []pairs.Role
	called bool // the task has begun this call, see visit.begin
}

func newGroup(c combine.Call) *group {
	g := &group{lane: c.Lane, users: c.Users, roles: c.Roles, whole: c.Size().Whole()}
	userAt := make(map[string]int, len(c.Users))
	for i, id := range c.Users {
		userAt[id] = i
	}
	roleAt := make(map[int64]int, len(c.Roles))
	for i, id := range c.Roles {
		roleAt[id] = i
	}
	for _, cm := range c.Members {
		m := &member{stay: cm.Offer.Tag.(*stay), users: absent[pairs.User](len(c.Users)), roles: absent[pairs.Role](len(c.Roles))}
		for _, u := range cm.Users {
			m.users[userAt[m.part.UserIDs[u]]] = u
		}
		for _, r := range cm.Roles {
			m.roles[roleAt[m.part.RoleIDs[r]]] = r
		}
		g.members = append(g.members, m)
	}
	g.api = g.members[0].api
	return g
}

func absent[P pairs.User | pairs.Role](n int) []P {
	list := make([]P, n)
	for i := range list {
		list[i] = -1
	}
	return list
}

// share translates a rectangle of the group to the member's part, leaving out what the member does not have.
func (m *member) share(of pairs.Rectangle) pairs.Rectangle {
	return pairs.Rectangle{Users: translate(m.users, of.Users), Roles: translate(m.roles, of.Roles)}
}

func translate[P pairs.User | pairs.Role](positions, inGroup []P) []P {
	out := make([]P, 0, len(inGroup))
	for _, i := range inGroup {
		if p := positions[i]; p >= 0 {
			out = append(out, p)
		}
	}
	return out
}

// ids are the users and the roles of a rectangle.
func (g *group) ids(of pairs.Rectangle) (users []string, roles []int64) {
	users, roles = make([]string, len(of.Users)), make([]int64, len(of.Roles))
	for i, r := range of.Roles {
		roles[i] = g.roles[r]
	}
	for i, u := range of.Users {
		users[i] = g.users[u]
	}
	return users, roles
}

// field names the id, as the ledger does, that a search found bad; it is empty if that is a pair.
func (g *group) field(f isolate.Finding) string {
	switch f.Culprit {
	case isolate.BadUser:
		return ledger.UserField(g.users[f.User])
	case isolate.BadRole:
		return ledger.RoleField(g.roles[f.Role])
	}
	return ""
}

// twin is the same group for another call that may be under way at the same time.
func (g *group) twin() *group {
	t := *g
	t.members = make([]*member, len(g.members))
	for i, m := range g.members {
		t.members[i] = &member{stay: m.stay, users: m.users, roles: m.roles}
	}
	return &t
}

// leave takes all tasks of the group out of the pool.
func (g *group) leave(why error) {
	for _, m := range g.members {
		m.leave(why)
	}
}

// rest takes the mark of a call under way off the tasks, so that a cancel reaches them while the group waits.
func (g *group) rest() {
	for _, m := range g.members {
		if m.called {
			m.called = false
			m.visit.rest()
		}
	}
}

// restOwners takes the mark of the call off the tasks that own some of its pairs.
func (g *group) restOwners() {
	for _, o := range g.owners {
		o.rest()
	}
	g.owners = nil
}

func (g *group) progress() {
	for _, m := range g.members {
		m.progress()
	}
}
