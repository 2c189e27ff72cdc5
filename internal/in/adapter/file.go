package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/unrole/unrole/internal/in/lists"
)

// mapping is an adapter as the mapping file has it, in YAML, under its name.
type mapping struct {
	Signature *signatureFile `yaml:"signature"`
	Token     *tokenFile     `yaml:"token"`
	Encrypted *struct {
		Value  string `yaml:"value"`
		Secret string `yaml:"secret_file"`
	} `yaml:"encrypted"`
	Challenge  *string             `yaml:"challenge"`
	Sent       *timeFile           `yaml:"sent"`
	MaxAge     string              `yaml:"max_age"`
	Only       map[string][]string `yaml:"only"`
	Stays      map[string][]string `yaml:"stays"`
	ID         *string             `yaml:"id"`
	People     string              `yaml:"people"`
	Person     map[string]string   `yaml:"person"`
	Table      string              `yaml:"table"`
	At         *timeFile           `yaml:"at"`
	Source     string              `yaml:"source"`
	Reason     string              `yaml:"reason"`
	Priority   string              `yaml:"priority"`
	Roles      []string            `yaml:"roles"`
	AllRoles   bool                `yaml:"all_roles"`
	Keep       []string            `yaml:"keep_roles"`
	Unresolved string              `yaml:"unresolved"`
	Answer     any                 `yaml:"answer"`
}

type signatureFile struct {
	Header    string `yaml:"header"`
	Query     string `yaml:"query"`
	Algorithm string `yaml:"algorithm"`
	Encoding  string `yaml:"encoding"`
	Of        string `yaml:"of"`
	Timestamp string `yaml:"timestamp"`
	Nonce     string `yaml:"nonce"`
	Secret    string `yaml:"secret_file"`
}

type tokenFile struct {
	Header string   `yaml:"header"`
	Query  string   `yaml:"query"`
	Body   []string `yaml:"body"`
	Secret string   `yaml:"secret_file"`
}

type timeFile struct {
	Value  string `yaml:"value"`
	Format string `yaml:"format"`
	Time   string `yaml:"time"`
	Zone   string `yaml:"time_zone"`
}

// personFields are what may be said of a person, as the body of a removal has it.
var personFields = []string{"user_id", "union_id", "mobile", "job_number", "email", "name"}

const (
	defaultZone   = "Asia/Shanghai"
	defaultTime   = "18:00"
	defaultMaxAge = 24 * time.Hour
	longestMaxAge = 30 * 24 * time.Hour
)

var adapterName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`)

// Load reads a mapping file, with the files of secrets that it names. Its error has a line for everything that is wrong, with the file,
// the line, and the field.
func Load(file string) (map[string]*Adapter, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var written map[string]mapping
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&written); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("%s: it has no adapter", file)
	}
	if decoder.Decode(&yaml.Node{}) != io.EOF {
		return nil, fmt.Errorf("%s: something follows after a line of ---: put all adapters above it", file)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	adapters := map[string]*Adapter{}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(written)) {
		b := &builder{file: file, name: name, mapping: written[name], place: place{file, &root}}
		adapters[name] = b.build()
		faults = append(faults, b.faults...)
	}
	return adapters, errors.Join(faults...)
}

// place finds lines of a mapping file.
type place struct {
	file string
	root *yaml.Node
}

func (p place) fault(name, field, what string) error {
	line, node := 1, p.root
	if len(node.Content) > 0 {
		node = node.Content[0]
	}
	for _, key := range append([]string{name}, strings.Split(field, ".")...) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				line, node = node.Content[i].Line, node.Content[i+1]
				break
			}
		}
	}
	return fmt.Errorf("%s:%d: %s: %s: %s", p.file, line, name, field, what)
}

// builder makes an adapter of its mapping, and collects what is wrong.
type builder struct {
	file, name string
	mapping    mapping
	place      place
	faults     []error
}

func (b *builder) wrong(field, format string, args ...any) {
	b.faults = append(b.faults, b.place.fault(b.name, field, fmt.Sprintf(format, args...)))
}

func (b *builder) build() *Adapter {
	m := b.mapping
	if !adapterName.MatchString(b.name) {
		b.wrong("name", "%.60q is not of 1 to 40 of a-z 0-9 . _ -, which stand in the address", b.name)
	}
	a := &Adapter{Name: b.name, place: b.place, maxAge: defaultMaxAge}
	a.signature, a.token = b.signature(m.Signature), b.token(m.Token)
	if m.Signature == nil && m.Token == nil {
		b.wrong("signature", "it is missing, and so is token: anybody could remove roles")
	}
	if m.Encrypted != nil {
		a.encrypted = &encrypted{at: b.pointer("encrypted.value", m.Encrypted.Value), secrets: b.secrets("encrypted.secret_file", m.Encrypted.Secret)}
	}
	a.challenge, a.id = b.maybe("challenge", m.Challenge), b.maybe("id", m.ID)
	a.sent = b.moment("sent", m.Sent, false)
	if m.Sent != nil && m.Sent.Format == "date" {
		b.wrong("sent.format", "a day does not say how old a message is: it has to have the time, as date_time or another one")
	}
	if m.MaxAge != "" {
		var err error
		if a.maxAge, err = time.ParseDuration(m.MaxAge); err != nil || a.maxAge < time.Minute || a.maxAge > longestMaxAge || m.Sent == nil {
			b.wrong("max_age", "%q is not a duration from 1m to %v, such as 24h, beside sent", m.MaxAge, longestMaxAge)
		}
	}
	a.only, a.stays = b.conditions("only", m.Only), b.conditions("stays", m.Stays)
	if m.Stays != nil && m.Only == nil {
		b.wrong("only", "it is missing: beside stays it says which messages are about somebody who leaves")
	}
	b.people(a)
	a.at = b.moment("at", m.At, true)
	a.removal = removal{Source: m.Source, Reason: m.Reason, Priority: m.Priority, Unresolved: m.Unresolved, Keep: b.roles("keep_roles", m.Keep)}
	a.element = element{Roles: b.roles("roles", m.Roles), AllRoles: m.AllRoles}
	if m.Roles == nil && !m.AllRoles {
		b.wrong("all_roles", "it is missing, and so is roles: nothing would be removed")
	}
	if m.Answer != nil {
		var err error
		if a.Answer, err = json.Marshal(m.Answer); err != nil {
			b.wrong("answer", "it cannot be written as JSON")
		}
	}
	return a
}

func (b *builder) people(a *Adapter) {
	m := b.mapping
	a.people = b.pointer("people", m.People)
	if m.Table != "" {
		a.table = &table{b.beside(m.Table)}
		if _, err := a.table.read(); err != nil {
			b.wrong("table", "%v", err)
		}
	}
	if len(m.Person) == 0 {
		b.wrong("person", "it is missing: say where a message has user_id, union_id, mobile, job_number, email or name of somebody")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Person)) {
		if name != byTable && !slices.Contains(personFields, name) {
			b.wrong("person."+name, "it is not one of id, %s", strings.Join(personFields, ", "))
		}
		a.person = append(a.person, field{name, b.pointer("person."+name, m.Person[name])})
	}
	_, found := m.Person[byTable]
	switch {
	case m.Table != "" && !found:
		b.wrong("table", "it goes with person.id: the table says who has which id")
	case m.Table != "" && len(m.Person) > 1:
		b.wrong("person", "beside id nothing can stand there: the table says it")
	case m.Table == "" && found && len(m.Person) == 1:
		b.wrong("table", "it is missing: nobody can tell who has which id")
	}
}

func (b *builder) conditions(field string, is map[string][]string) []condition {
	var all []condition
	for _, at := range slices.Sorted(maps.Keys(is)) {
		if len(is[at]) == 0 {
			b.wrong(field+"."+at, "it lists nothing that counts: no message would")
		}
		all = append(all, condition{b.pointer(field, at), is[at]})
	}
	return all
}

func (b *builder) signature(f *signatureFile) *signature {
	if f == nil {
		return nil
	}
	s := &signature{source: source{f.Header, f.Query}, algorithm: f.Algorithm, decode: encodings[f.Encoding], timestamp: f.Timestamp, nonce: f.Nonce,
		secrets: b.secrets("signature.secret_file", f.Secret)}
	if (f.Header == "") == (f.Query == "") {
		b.wrong("signature", "one of header and query says where it stands")
	}
	if algorithms[f.Algorithm] == nil {
		b.wrong("signature.algorithm", "%q is not one of %s", f.Algorithm, strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))
	}
	if s.decode == nil {
		b.wrong("signature.encoding", "%q is not one of %s", f.Encoding, strings.Join(slices.Sorted(maps.Keys(encodings)), ", "))
	}
	of := f.Of
	if of == "" {
		of = "{body}"
	}
	s.of = parts(of)
	for _, part := range s.of {
		if strings.HasPrefix(part, "{") && !slices.Contains(signedParts, part) {
			b.wrong("signature.of", "%s is not one of %s", part, strings.Join(signedParts, ", "))
		}
	}
	for part, must := range map[string]bool{"{body}": true, "{timestamp}": f.Timestamp != "", "{nonce}": f.Nonce != "", "{secret}": f.Algorithm == "sha256"} {
		if has := slices.Contains(s.of, part); has != must {
			b.wrong("signature.of", "%s belongs there only if, and always when, there is such a thing beside the body, and {secret} is for sha256", part)
		}
	}
	return s
}

var signedParts = []string{"{timestamp}", "{nonce}", "{secret}", "{body}"}

var braces = regexp.MustCompile(`\{[^}]*\}|[^{]+|\{`)

// parts are the pieces of what is signed: names in braces, and what stands between them.
func parts(of string) []string { return braces.FindAllString(of, -1) }

func (b *builder) token(f *tokenFile) *token {
	if f == nil {
		return nil
	}
	t := &token{source: source{f.Header, f.Query}, secrets: b.secrets("token.secret_file", f.Secret)}
	for _, at := range f.Body {
		t.body = append(t.body, b.pointer("token.body", at))
	}
	places := 0
	for _, there := range []bool{f.Header != "", f.Query != "", f.Body != nil} {
		if there {
			places++
		}
	}
	if places != 1 {
		b.wrong("token", "one of header, query and body says where it stands")
	}
	return t
}

func (b *builder) pointer(field, text string) pointer {
	p, err := parsePointer(text)
	if err != nil {
		b.wrong(field, "%.80q: %v", text, err)
	}
	return p
}

func (b *builder) maybe(field string, text *string) *pointer {
	if text == nil {
		return nil
	}
	p := b.pointer(field, *text)
	return &p
}

func (b *builder) moment(name string, f *timeFile, days bool) *moment {
	if f == nil {
		return nil
	}
	m := &moment{at: b.pointer(name+".value", f.Value), format: f.Format}
	if _, known := formats[f.Format]; !known {
		b.wrong(name+".format", "%q is not one of %s", f.Format, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	zone, clock := f.Zone, f.Time
	if zone == "" {
		zone = defaultZone
	}
	var err error
	if m.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		b.wrong(name+".time_zone", "%q is not a time zone such as Asia/Shanghai", zone)
		m.zone = time.UTC
	}
	if clock == "" && f.Format == "date" {
		clock = defaultTime
	}
	switch at, err := time.Parse("15:04", clock); {
	case clock == "":
	case err != nil || !days && f.Time != "":
		b.wrong(name+".time", "%q is not a time of day such as \"18:00\", of a last day", clock)
	default:
		m.day, m.hour, m.minute = true, at.Hour(), at.Minute()
	}
	return m
}

// roles are as the body of a removal has them.
func (b *builder) roles(field string, texts []string) []any {
	var roles []any
	for _, text := range texts {
		role, err := lists.ParseRole(strings.TrimSpace(text))
		switch {
		case err != nil:
			b.wrong(field, "%v", err)
		case role.ID != 0:
			roles = append(roles, role.ID)
		default:
			roles = append(roles, role.Name)
		}
	}
	return roles
}

// beside finds a file that the mapping names: from where the mapping is.
func (b *builder) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(b.file), name)
}

func (b *builder) secrets(field, name string) [][]byte {
	if name == "" {
		b.wrong(field, "it is missing: name the file that has the secret")
		return nil
	}
	secrets, err := readSecrets(b.beside(name))
	if err != nil {
		b.wrong(field, "%v", err)
	}
	return secrets
}
