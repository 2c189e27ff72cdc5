package tasks

import (
	"crypto/rand"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Part names: numbers joined by dots, then for a dead letter what it was set apart for (-u17: the user at index 17 of
// the batch, -r3: the role at index 3, -all: the whole batch), then for a letter that was tried again and refused
// again its generation (~2, ~3, …).
var partName = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*(-(u[0-9]+|r[0-9]+|u[0-9]+r[0-9]+|all)(~[0-9]+)?)?$`)

func validPartName(s string) bool { return len(s) <= 128 && partName.MatchString(s) }

// ChildName is the name of child i of the part; the same parent always has the same children.
func ChildName(part string, i int) string { return part + "." + strconv.Itoa(i) }

// UserLetter names the dead letter of user u (a position in the batch), RoleLetter that of role r, PairLetter that of
// one pair, WholeLetter that of all that is left of the batch.
func UserLetter(batch string, u int) string { return batch + "-u" + strconv.Itoa(u) }

func RoleLetter(batch string, r int) string { return batch + "-r" + strconv.Itoa(r) }

func PairLetter(batch string, u, r int) string {
	return batch + "-u" + strconv.Itoa(u) + "r" + strconv.Itoa(r)
}

func WholeLetter(batch string) string { return batch + "-all" }

// BatchName is the name of the batch that a dead letter was set apart from; a name that is not a dead letter's is
// returned as it is.
func BatchName(part string) string {
	batch, _, _ := strings.Cut(part, "-")
	return batch
}

// Generation is how often the letter of this name was set apart: 1 unless the name says otherwise.
func Generation(letter string) int {
	if _, gen, found := strings.Cut(letter, "~"); found {
		n, _ := strconv.Atoi(gen)
		return n
	}
	return 1
}

// WithGeneration is the name of the given generation of a letter; the first one is not written.
func WithGeneration(letter string, n int) string {
	base, _, _ := strings.Cut(letter, "~")
	if n <= 1 {
		return base
	}
	return base + "~" + strconv.Itoa(n)
}

// NextGeneration is the name of the dead letter that follows this one when it was tried again and refused again:
// "3-u1" becomes "3-u1~2", which becomes "3-u1~3".
func NextGeneration(letter string) string { return WithGeneration(letter, Generation(letter)+1) }

// SplitTaskID takes a task id apart into job id and part name. ok is false for an id that unrole did not make.
func SplitTaskID(id string) (jobID, part string, ok bool) {
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return "", "", false
	}
	jobID, part = id[:i], id[i+1:]
	return jobID, part, ValidateJobID(jobID) == nil && validPartName(part)
}

// UnreadableJob is the job of tasks that say nothing about theirs.
const UnreadableJob = "unreadable"

// SplitAnyTaskID is SplitTaskID for ids that somebody else may have made: they belong to part 0 of UnreadableJob.
func SplitAnyTaskID(id string) (jobID, part string) {
	jobID, part, ok := SplitTaskID(id)
	if !ok {
		return UnreadableJob, "0"
	}
	return jobID, part
}

// NewJobID generates a job id that sorts by time: the UTC time to the second and 40 random bits.
func NewJobID(now time.Time) string {
	return now.UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:8])
}

var generatedJobID = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}-[a-z2-7]{8}$`)

// IsGeneratedJobID reports whether the id looks like one of NewJobID.
func IsGeneratedJobID(id string) bool { return generatedJobID.MatchString(id) }

// isBlank and isControl are what a user id must not have: anything that Unicode calls a space, and anything that
// does not show (controls, formats such as the zero width space and the byte order mark, line separators).
func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Zs, r) }

func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

func isJobIDByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
