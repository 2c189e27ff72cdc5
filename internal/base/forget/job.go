package forget

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/unrole/unrole/tasks"
)

// hashLength is that of Hash, in signs.
const hashLength = 32

// Hash is what stands for a user id in job ids that cannot have it. Whoever has the id can tell that it is theirs.
func Hash(userID string) string {
	sum := sha256.Sum256([]byte(userID))
	return hex.EncodeToString(sum[:hashLength/2])
}

var hashes = regexp.MustCompile(`^[0-9a-f]{32}$`)

func isHash(text string) bool { return hashes.MatchString(text) }

// Fit says how certainly a job id names somebody.
type Fit int

const (
	// FitNot is a job id that names nobody of them, FitMaybe one that may name somebody else just as well, such as
	// offboard-zhang-2 for zhang; FitSure names one of them.
	FitNot Fit = iota
	FitMaybe
	FitSure
)

// What may stand before and after a user id that a job id ends with: a word, a day, and the number of a generation.
var (
	beforeID = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]*[._-])?(20[0-9]{2}[._-]?[01][0-9][._-]?[0-3][0-9][._-])?$`)
	afterID  = regexp.MustCompile(`^(\.v[0-9]+)?$`)
)

// Fits says how certainly a job id that somebody made up names one of the people, by itself.
func (n Names) Fits(jobID string) Fit {
	if tasks.IsGeneratedJobID(jobID) {
		return FitNot
	}
	if n.replaced(jobID, func(before, id, after string) bool {
		return isHash(id) && isWord(before, id, after) || beforeID.MatchString(before) && afterID.MatchString(after)
	}, func(string) string { return "" }) != jobID {
		return FitSure
	}
	if n.JobID(jobID) != jobID {
		return FitMaybe
	}
	return FitNot
}

// FitsAmong is Fits of a job that is about certain people: whom it is not about it does not name for certain, and a longer id of
// one whom it is about is not a shorter one. About nobody is not known whom.
func (n Names) FitsAmong(jobID string, userIDs []string) Fit {
	fit := n.Fits(jobID)
	if fit == FitNot || len(userIDs) == 0 {
		return fit
	}
	about, rest := Names{}, jobID
	for _, id := range slices.SortedFunc(slices.Values(userIDs), func(a, b string) int { return len(b) - len(a) }) {
		if instead := n[id]; instead != "" {
			about[id] = instead
		} else if n.JobID(id) != id {
			rest = replaced(rest, id, ":", isWord)
		}
	}
	hashed := slices.ContainsFunc(n.longestFirst(), func(id string) bool { return strings.Contains(jobID, Hash(id)) })
	switch {
	case hashed || about.JobID(rest) != rest:
		return FitSure
	case n.JobID(rest) != rest:
		return FitMaybe
	}
	return FitNot
}

// JobID is a job id without the user ids and hashes that stand in it, and a job id still.
func (n Names) JobID(jobID string) string {
	return n.replaced(jobID, isWord, func(id string) string { return strings.ReplaceAll(n[id], ":", "-") })
}

// jobIDs are the keys under which a text is the id of a job, or several with commas.
var jobIDs = []string{"job_id", "restores", "restored_by"}

// Value is Text of what stands under a key. Under that of a job id, it is JobID of those that name the people for certain.
func (n Names) Value(key, value string) string {
	if !slices.Contains(jobIDs, key) {
		return n.Text(value)
	}
	ids := strings.Split(value, ",")
	for i, id := range ids {
		if n.Fits(id) == FitSure {
			ids[i] = n.JobID(id)
		}
	}
	return strings.Join(ids, ",")
}

// DoubtsValue is Doubts of what stands under a key.
func (n Names) DoubtsValue(key, value string) bool {
	if !slices.Contains(jobIDs, key) {
		return n.Doubts(value)
	}
	return slices.ContainsFunc(strings.Split(value, ","), func(id string) bool { return n.Fits(id) == FitMaybe })
}
