package adapter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryFaultOfAMappingIsNamedWithItsLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("s", key)
	write("short", "5ecret\n")
	write("empty", "\n")
	write("twice.csv", "id,mobile\n1,138\n1,139\n")
	write("columns.csv", "id,mobile,mobile\n1,138,139\n")
	write("odd.csv", "id,nick\n1,x\n")
	for text, want := range map[string][]string{
		"":                                   {": it has no adapter"},
		"a: [1]\n":                           {"line 1"},
		"a:\n  b: 1\n":                       {"line 2: field b not found"},
		"a:\n  id: /x\na:\n":                 {`mapping key "a" already defined at line 1`},
		"A b:\n  person: {}\n":               {":1: A b: name: ", ":2: A b: person: it is missing", ":1: A b: all_roles: it is missing", ":1: A b: signature: it is missing, and so is token"},
		"a:\n  id: x\n  people: y":           {":2: a: id: \"x\": it does not begin with /", ":3: a: people: "},
		"a:\n  token: {query: k}\n":          {":2: a: token.secret_file: it is missing"},
		"a:\n  token: {secret_file: none}\n": {":2: a: token: one of header, query and body", ":2: a: token.secret_file: stat "},
		"a:\n  token: {query: k, header: h, secret_file: short}\n":        {":2: a: token: one of", "short has a line of fewer than 8 characters"},
		"a:\n  token: {query: k, secret_file: empty}\n":                   {"empty is empty: write the secret into it"},
		"a:\n  signature: {header: h, query: q, algorithm: md5}\n":        {"one of header and query", `algorithm: "md5" is not one of hmac-sha1, hmac-sha256, sha256`, `encoding: "" is not one of base64, hex`},
		"a:\n  signature: {header: h, of: '{body}{time}'}\n":              {"signature.of: {time} is not one of"},
		"a:\n  signature: {header: h, timestamp: t, algorithm: sha256}\n": {"signature.of: {timestamp} belongs there", "signature.of: {secret} belongs there"},
		"a:\n  max_age: 1h\n": {":2: a: max_age: "},
		"a:\n  sent: {value: /x, format: days}\n  at: {value: /x, format: date, time: noon, time_zone: Moon}\n": {":2: a: sent.format: \"days\" is not one of date,", ":3: a: at.time: \"noon\"", ":3: a: at.time_zone: \"Moon\""},
		"a:\n  person: {nick: /x}\n":                               {":2: a: person.nick: it is not one of id, user_id"},
		"a:\n  person:\n    id: ''\n":                              {"table: it is missing: nobody can tell who has which id"},
		"a:\n  table: twice.csv\n  person: {id: '', mobile: /x}\n": {":2: a: table: ", "row 3: its id stands there twice", ":3: a: person: beside id nothing"},
		"a:\n  table: odd.csv\n":                                   {`odd.csv:1: "nick" is not one of id,`},
		"a:\n  table: columns.csv\n":                               {`columns.csv:1: it has two columns "mobile"`},
		"a:\n  only: {/type: [], /event: }\n":                      {":2: a: only./event: it lists nothing", ":2: a: only./type: it lists nothing"},
		"a:\n  sent: {value: /x, format: date}\n":                  {":2: a: sent.format: a day does not say"},
		"a:\n  id: /x\n---\nb:\n  id: /x\n":                        {": something follows after a line of ---"},
		"a:\n  roles: ['', '１２']\n":                                {":2: a: roles: "},
	} {
		_, err := Load(write("map.yaml", text))
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: no word of %q in:\n%v", text, part, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), "5ecret") {
			t.Errorf("%q: the error tells a secret: %v", text, err)
		}
	}
}

func TestBothSecretsAreGoodWhileOneIsReplaced(t *testing.T) {
	a := load(t, t.TempDir(), "map.yaml", map[string]string{"map.yaml": "a:\n  token: {header: authorization, secret_file: s}\n  " + minimal, "s": "old-secret\n\nnew-secret\n"})["a"]
	for token, good := range map[string]bool{"old-secret": true, "Bearer new-secret": true, "bearer  old-secret": true, "": false, "Bearer": false, "old-secret\n": false, "Basic new-secret": false} {
		m := message(`{"m":"1"}`)
		m.Header.Set("Authorization", token)
		if _, err := a.Open(m); (err == nil) != good {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestTheTableIsReadForEveryMessage(t *testing.T) {
	dir := t.TempDir()
	a := load(t, dir, "map.yaml", map[string]string{"s": key, "t.csv": "\ufeffmobile,id\n138,1\n",
		"map.yaml": "a:\n  token: {query: key, secret_file: s}\n  people: /p\n  table: t.csv\n  person: {id: ''}\n  all_roles: true\n  source: hr\n  reason: left\n"})["a"]
	open := func(want string) {
		t.Helper()
		if e, err := a.Open(message(`{"p":[1]}`, "key", key)); err != nil || !strings.Contains(string(e.Removal), want) {
			t.Errorf("%s %v, want %s", e.Removal, err, want)
		}
	}
	open(`{"mobile":"138"}`)
	for text, want := range map[string]string{"mobile,id\n139,1\n": `{"mobile":"139"}`, "mobile,id\n139,2\n": "a id 1, not in the table"} {
		if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		open(want)
	}
	if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := a.Open(message(`{"p":[1]}`, "key", key)); err == nil {
		t.Errorf("a broken table: %+v", e)
	}
}
