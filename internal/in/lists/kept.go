package lists

import (
	"encoding/binary"
	"iter"
)

// Kept holds the rows of an input beside its job, so that a report can give back their own columns: in one piece of
// memory, some 30 bytes a row beside the text. The zero value is empty. It may be read by several goroutines at once.
type Kept struct {
	// Header are the headings of Row.Cells, see Report.Header.
	Header []string

	people   []Person
	roles    []Role
	personAt map[Person]int
	roleAt   map[Role]int
	rows     []byte // line, people, roles and cells of each row, numbers as uvarints
	n        int
}

// Add keeps a row.
func (k *Kept) Add(row Row) {
	if k.personAt == nil {
		k.personAt, k.roleAt = make(map[Person]int), make(map[Role]int)
	}
	k.n++
	k.number(row.Line)
	k.named(row.People)
	k.named(row.Also)
	k.number(len(row.Roles))
	for _, r := range row.Roles {
		at, known := k.roleAt[r]
		if !known {
			at = len(k.roles)
			k.roles = append(k.roles, r)
			k.roleAt[r] = at
		}
		k.number(at)
	}
	k.number(len(row.Cells))
	for _, cell := range row.Cells {
		k.number(len(cell))
		k.rows = append(k.rows, cell...)
	}
}

// named keeps a list of people.
func (k *Kept) named(people []Person) {
	k.number(len(people))
	for _, p := range people {
		at, known := k.personAt[p]
		if !known {
			at = len(k.people)
			k.people = append(k.people, p)
			k.personAt[p] = at
		}
		k.number(at)
	}
}

func (k *Kept) number(n int) { k.rows = binary.AppendUvarint(k.rows, uint64(n)) }

// Len is the number of rows.
func (k *Kept) Len() int { return k.n }

// All goes through the rows in the order of the input. A row's slices hold until the next one.
func (k *Kept) All() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		rest := k.rows
		next := func() int {
			n, size := binary.Uvarint(rest)
			rest = rest[size:]
			return int(n)
		}
		var row Row
		for len(rest) > 0 {
			row.Line = next()
			row.People, row.Also, row.Roles, row.Cells = row.People[:0], row.Also[:0], row.Roles[:0], row.Cells[:0]
			for range next() {
				row.People = append(row.People, k.people[next()])
			}
			for range next() {
				row.Also = append(row.Also, k.people[next()])
			}
			for range next() {
				row.Roles = append(row.Roles, k.roles[next()])
			}
			for range next() {
				n := next()
				row.Cells = append(row.Cells, string(rest[:n]))
				rest = rest[n:]
			}
			if !yield(row) {
				return
			}
		}
	}
}
