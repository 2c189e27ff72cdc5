package lists

import (
	"slices"
	"strconv"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
)

// suspects are ids that are well-formed, and yet unlikely to be what they stand for. One among many is said; where most
// are so, the input cannot be right and is refused, unless a person named the column.
type suspects struct {
	ids   int
	wrong doubts // what looks like something else than a user id
	// long counts ids of 16 digits and more. A spreadsheet keeps 15 and writes zeros for the others.
	long    int
	spoiled doubts
	zeros   [maxZeros]int      // ids of so many digits of which the first is 0
	short   [maxZeros]shortIDs // ids of so many digits of which the first is not
}

const maxZeros = 20

type doubt struct {
	spot
	reason texts.Text
}

type doubts struct {
	n     int
	first []doubt
}

func (d *doubts) add(in *input, from source, at place, reason texts.Text) {
	if d.n++; len(d.first) < in.opt.MaxErrors {
		d.first = append(d.first, doubt{from.spot(at), reason})
	}
}

type shortIDs struct {
	n     int
	first []string // lines
}

// look notes what is suspicious of a row that is otherwise good.
func (s *suspects) look(in *input, from source) {
	if len(in.places) > 0 {
		for i, person := range in.row.People {
			if person.By == UserID {
				s.lookAt(in, from, in.places[i], person.Text)
			}
		}
	}
	for _, role := range in.row.Roles {
		const sixteen = 1_000_000_000_000_000
		if role.ID >= sixteen && len(in.opt.Roles) == 0 {
			s.lookAtLong(in, from, place{whole, 0}, strconv.FormatInt(role.ID, 10))
		}
	}
}

func (s *suspects) lookAt(in *input, from source, at place, id string) {
	s.ids++
	if onlyDigits(id) {
		switch n := len(id); {
		case n > 15:
			s.lookAtLong(in, from, at, id)
		case id[0] == '0':
			s.zeros[n]++
		default:
			short := &s.short[n]
			if short.n++; len(short.first) < 3 {
				short.first = append(short.first, strconv.Itoa(in.row.Line))
			}
		}
	}
	if doubt, is := Doubt(id); is {
		s.wrong.add(in, from, at, doubt)
	}
}

func (s *suspects) lookAtLong(in *input, from source, at place, id string) {
	s.long++
	if spoiled(id) {
		s.spoiled.add(in, from, at, texts.T("%q ends in zeros from its 16th digit on: a spreadsheet keeps 15 digits only, so the id may have ended otherwise; format the column as text and export it again", id))
	}
}

// weigh decides between a word and a refusal.
func (in *input) weigh() {
	s := &in.suspects
	meant := in.named(FieldUserID)
	for _, d := range []struct {
		doubts
		of int
	}{{s.wrong, s.ids}, {s.spoiled, s.long}} {
		if 2*d.n > d.of && !meant {
			in.bad.Next = append(in.bad.Next, texts.T("%d of %d ids are so; if they are right all the same, say so with --column user_id=%s", d.n, d.of, in.idHeading))
			for _, one := range d.first {
				in.bad.add(in.opt.MaxErrors, RowError{Line: one.line, Column: one.column, Cell: one.cell, Field: string(FieldUserID), Reason: one.reason})
			}
			in.bad.Total += d.n - len(d.first)
			continue
		}
		const told = 5
		for _, one := range d.first[:min(told, len(d.first))] {
			in.report.Notes = append(in.report.Notes, texts.T("line %d: %s", one.line, one.reason))
		}
		if more := d.n - told; more > 0 {
			in.report.Notes = append(in.report.Notes, texts.Count(more, "… and %d more like that", "… and %d more like these"))
		}
	}
	in.lostZeros()
}

// lostZeros says which ids are shorter than their neighbours, all of which have the same number of digits and some a zero
// in front.
func (in *input) lostZeros() {
	s := &in.suspects
	width, most := 0, 0
	for n, count := range s.zeros {
		if all := count + s.short[n].n; count > 0 && all > most {
			width, most = n, all
		}
	}
	n := 0
	var lines []string
	for _, short := range s.short[:width] {
		n += short.n
		lines = append(lines, short.first...)
	}
	if n == 0 || n > most {
		return
	}
	slices.SortFunc(lines, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	in.report.Notes = append(in.report.Notes, texts.T("line %s: user ids with fewer digits than the others, of which %d have %d and begin with 0: a spreadsheet may have taken zeros away",
		strings.Join(lines, ", "), most, width))
}
