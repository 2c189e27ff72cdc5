package lease

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
)

// Fence goes with what the holder of a lease writes into a record: "1732690000123@7f3a…,90bc…", the number of its term and the
// servers that were Redis when the term began, by run_id (INFO server). A record that a greater number has looked at takes no
// write of a smaller one; and a server that is another one, since Redis was started again or a replica took its place, takes
// none that was meant for the one before: it may have lost what the writer believes it knows. The empty Fence is for who holds
// no lease, and for a Redis that does not tell its run_id what it has of servers is empty.
type Fence string

// FenceLua goes before a script that looks at a fence: number_of(fence) and other_server(fence).
//
//go:embed lua/fence.lua
var FenceLua string

// NewFence is the fence of a term on these servers.
func NewFence(number int64, servers []string) Fence {
	f := strconv.FormatInt(number, 10)
	if len(servers) > 0 {
		f += "@" + strings.Join(servers, ",")
	}
	return Fence(f)
}

// Number is that of the term, 0 if there is none.
func (f Fence) Number() int64 {
	number, _, _ := strings.Cut(string(f), "@")
	n, _ := strconv.ParseInt(number, 10, 64)
	return n
}

// Holds reports whether each of the servers was Redis already when the term began, as far as that is known.
func (f Fence) Holds(servers []string) bool {
	_, known, _ := strings.Cut(string(f), "@")
	return known == "" || !slices.ContainsFunc(servers, func(id string) bool { return !slices.Contains(strings.Split(known, ","), id) })
}
