package console

import (
	"bytes"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/record/snapshot"
)

// mostNamed is how many rows, and doubts, a preview names.
const mostNamed = 50

// seenView is what DingTalk showed of a list.
type seenView struct {
	At         time.Time     `json:"at"`
	Found      int64         `json:"found"`
	Ambiguous  int64         `json:"ambiguous"`
	Unknown    int64         `json:"unknown"`
	Departed   int64         `json:"departed"`
	External   int64         `json:"external"`
	NotHeld    int64         `json:"not_held"`
	Spared     int64         `json:"spared"`
	Lookups    int64         `json:"lookups"`
	Took       time.Duration `json:"took"`
	Unresolved int           `json:"unresolved"`
	Problems   []wrongRow    `json:"problems,omitempty"`
	// Hints are what can be done here about Problems.
	Hints  []string    `json:"hints,omitempty"`
	Shares []shareLine `json:"shares,omitempty"`
	Doubts []doubt     `json:"doubts,omitempty"`
	// MoreDoubts counts those that are not named.
	MoreDoubts int `json:"more_doubts,omitempty"`
}

// MoreProblems is how many rows name nobody for certain beyond those that are named.
func (s *seenView) MoreProblems() int {
	lines := map[int]bool{}
	for _, p := range s.Problems {
		lines[p.Line] = true
	}
	return max(0, s.Unresolved-len(lines))
}

// shareLine is a role that would lose many of its holders.
type shareLine struct {
	Role    string `json:"role"`
	Holders int    `json:"holders"`
	Loses   int    `json:"loses"`
}

// doubt is a person or a role of the list who may be one of several.
type doubt struct {
	Said string       `json:"said"`
	Who  lists.Person `json:"who"`
	What lists.Role   `json:"what"`
	May  []candidate  `json:"may"`
	// More counts those who fit and are not among May.
	More int `json:"more,omitempty"`
}

// candidate is whom or what a doubt may mean.
type candidate struct {
	ID         string `json:"id"`
	Name       string `json:"name,omitempty"`
	Department string `json:"department,omitempty"`
}

// see writes into the draft what DingTalk showed. Rows that mean somebody for certain are ids from then on, so that looking
// anew asks for nobody twice.
func (d *draft) see(res *preflight.Result, rows *lists.Kept, lang texts.Lang) error {
	s := &seenView{At: res.Snapshot.SeenAt, Found: int64(res.Found), Ambiguous: int64(res.Ambiguous), Unknown: int64(res.Unknown),
		Departed: int64(res.Departed), External: int64(res.External), NotHeld: int64(len(res.Snapshot.NotHeld)), Lookups: int64(res.Lookups), Took: res.LookupTime,
		Unresolved: res.Snapshot.Unresolved}
	for _, spared := range res.Spared {
		s.Spared += int64(spared.Users)
	}
	for _, share := range res.Shares {
		s.Shares = append(s.Shares, shareLine{share.Role.Name + " (" + strconv.FormatInt(share.Role.ID, 10) + ")", share.Holders, share.Loses})
	}
	why := map[int][]texts.Text{}
	reasons := map[snapshot.Reason]bool{}
	for _, p := range res.Problems {
		why[p.Line] = append(why[p.Line], p.Why)
		reasons[p.Reason] = true
		if len(s.Problems) < mostNamed {
			s.Problems = append(s.Problems, wrongRow{p.Line, p.Why.In(lang)})
		}
	}
	for _, hint := range hintsOf(reasons) {
		s.Hints = append(s.Hints, hint.In(lang))
	}
	for _, of := range res.Doubts {
		if one := doubtOf(of); len(one.May) == 0 {
			continue // it can be said by an id in the list only
		} else if len(s.Doubts) < mostNamed {
			s.Doubts = append(s.Doubts, one)
		} else {
			s.MoreDoubts++
		}
	}
	d.Seen = s

	var bad bytes.Buffer
	rejects := lists.NewRejects(&bad, d.Header, lang)
	certain := &lists.Kept{}
	for row := range rows.All() {
		if reasons := why[row.Line]; reasons != nil && d.Header != nil {
			if err := rejects.Add(row, reasons); err != nil {
				return err
			}
		}
		if users, _, _ := res.Row(row); users != nil {
			row.Also, row.People = nil, nil
			for _, id := range users {
				row.People = append(row.People, lists.Person{Text: id})
			}
		}
		certain.Add(row)
	}
	if err := rejects.Flush(); err != nil {
		return err
	}
	packed, err := packRows(certain)
	if err != nil {
		return err
	}
	d.file(fileUnresolved, bad.Bytes())
	d.file(fileRows, packed)
	return nil
}

func doubtOf(of preflight.Doubt) doubt {
	one := doubt{Said: of.Person.Text, Who: of.Person, What: of.Role}
	if of.Role != (lists.Role{}) {
		one.Said = of.Role.Name
	}
	for _, p := range of.People {
		if p.UserID != "" {
			one.May = append(one.May, candidate{p.UserID, p.Name, p.Department})
		}
	}
	for _, r := range of.Roles {
		one.May = append(one.May, candidate{strconv.FormatInt(r.ID, 10), r.Name, r.Group})
	}
	one.More = max(0, of.Fit-len(one.May))
	return one
}

// meant puts in the place of doubts what somebody chose; a choice is one of the candidates, or nothing.
func (s *seenView) meant(rows *lists.Kept, choice func(i int) string) (*lists.Kept, bool) {
	people, roles := map[lists.Person]lists.Person{}, map[lists.Role]lists.Role{}
	for i, d := range s.Doubts {
		for _, may := range d.May {
			if may.ID != choice(i) {
				continue
			}
			if d.What != (lists.Role{}) {
				id, _ := strconv.ParseInt(may.ID, 10, 64) // it was written from a number
				roles[d.What] = lists.Role{ID: id}
			} else {
				people[d.Who] = lists.Person{Text: may.ID}
			}
		}
	}
	meant := &lists.Kept{}
	for row := range rows.All() {
		for i, p := range row.People {
			if is, chosen := people[p]; chosen {
				row.People[i] = is
			}
		}
		for i, r := range row.Roles {
			if is, chosen := roles[r]; chosen {
				row.Roles[i] = is
			}
		}
		meant.Add(row)
	}
	return meant, len(people)+len(roles) > 0
}
