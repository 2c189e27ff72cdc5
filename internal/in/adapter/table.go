package adapter

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// byTable is the name of the field by which the table of people finds somebody, and its first column.
	byTable = "id"
	// maxFile is far above any mapping, table or secret; it keeps a wrong path from being read whole.
	maxFile = 16 << 20
)

// table is a file that says who the people are whom a system names by numbers of its own: CSV with a header, the column id and at least
// one of the person's fields. It is read for every message, since people come. A nil table knows nobody.
type table struct{ file string }

// people are what a table says of each number.
type people map[string]map[string]string

func (t *table) read() (people, error) {
	if t == nil {
		return nil, nil
	}
	data, err := readFile(t.file)
	if err != nil {
		return nil, err
	}
	if data = bytes.TrimPrefix(data, []byte("\ufeff")); !utf8.Valid(data) {
		return nil, fmt.Errorf("%s is not UTF-8: save it as \"CSV UTF-8\"", t.file)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.file, err)
	}
	if len(rows) == 0 || !slices.Contains(rows[0], byTable) || len(rows[0]) < 2 {
		return nil, fmt.Errorf("%s:1: its header lacks id, or what says who that is: user_id, union_id, mobile, job_number, email or name", t.file)
	}
	for i, name := range rows[0] {
		if slices.Contains(rows[0][:i], name) {
			return nil, fmt.Errorf("%s:1: it has two columns %.40q: nobody can tell which one counts", t.file, name)
		}
		if name != byTable && !slices.Contains(personFields, name) {
			return nil, fmt.Errorf("%s:1: %.40q is not one of id, %s", t.file, name, strings.Join(personFields, ", "))
		}
	}
	known := people{}
	for i, row := range rows[1:] {
		id, person := "", map[string]string{}
		for c, name := range rows[0] {
			switch text := strings.TrimSpace(row[c]); {
			case name == byTable:
				id = text
			case text != "":
				person[name] = text
			}
		}
		if known[id] != nil {
			return nil, fmt.Errorf("%s: row %d: its id stands there twice: nobody can tell who is meant", t.file, i+2)
		}
		if id != "" && len(person) > 0 {
			known[id] = person
		}
	}
	return known, nil
}

// person says who a number is. Whoever is not in the table is somebody whom DingTalk will not find either: the job says so.
func (p people) person(adapter, id string) map[string]string {
	if known := p[id]; known != nil {
		return known
	}
	return map[string]string{"job_number": adapter + " id " + id + ", not in the table"}
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", name, maxFile)
	}
	return os.ReadFile(name)
}

// readSecrets reads secrets, one a line, each of which is good: so that one can be replaced.
func readSecrets(name string) ([][]byte, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	var secrets [][]byte
	for line := range strings.Lines(string(data)) {
		switch line = strings.TrimSpace(line); {
		case line == "":
		case len(line) < minSecret:
			return nil, fmt.Errorf("%s has a line of fewer than %d characters, which is no secret", name, minSecret)
		default:
			secrets = append(secrets, []byte(line))
		}
	}
	if len(secrets) == 0 {
		return nil, errors.New(name + " is empty: write the secret into it")
	}
	return secrets, nil
}

const minSecret = 8
