package lists

import "iter"

// Row is what one row asks for: each of its people loses each of its roles. Its slices are the reader's, until the next
// row; its strings may be kept.
type Row struct {
	// Line is that of the file where the row begins, from 1; in a workbook the number of the row.
	Line   int
	People []Person
	Roles  []Role
	// Also is what the row says of its person besides, in less exact columns: it has to be true of the same person. Empty
	// without Options.Lookup, and where the row names several.
	Also []Person
	// AllRoles says that they lose all that they hold. No list has it: see Options.AllRoles.
	AllRoles bool
	// Was is what a report of unrole says of the row; zero where the input is none.
	Was Was
	// Cells are all cells of the row as they stand there, by the headings of Report.Header; nil without Options.Cells.
	Cells []string
}

// Was is what a report says became of a pair, and of how it was before.
type Was struct {
	// Seen says that somebody looked before anything was sent: the pair was held, with the management scope of these
	// departments (none: everybody).
	Seen        bool
	Departments []int64
}

// IDs are the pairs of a row all of whose people and roles are ids.
func (r Row) IDs() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for _, person := range r.People {
			for _, role := range r.Roles {
				if !yield(person.Text, role.ID) {
					return
				}
			}
		}
	}
}
