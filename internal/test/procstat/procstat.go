// Package procstat tells benches and tests what another process has used so far, as Linux counts it.
package procstat

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used so far.
type Usage struct {
	// CPU is its processor time, in hundredths of a second.
	CPU time.Duration
	// Resident is the bytes of memory that it has now.
	Resident int64
}

// Read reads what the process has used. It returns an error where there is no /proc.
func Read(pid int) (Usage, error) {
	name := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	stat, err := os.ReadFile(name)
	if err != nil {
		return Usage{}, fmt.Errorf("read what a process used (Linux only): %w", err)
	}
	return parse(string(stat))
}

// parse reads proc_pid_stat(5). The name, field 2, stands in parentheses and may hold anything; behind it, state is field 3,
// user and system time are 14 and 15, in ticks, and resident pages are 24.
func parse(stat string) (Usage, error) {
	const firstBehind, ticks = 3, 10 * time.Millisecond
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= 24-firstBehind {
		return Usage{}, fmt.Errorf("read what a process used: %d fields behind its name", len(fields))
	}
	var numbers [3]int64
	for i, field := range []int{14, 15, 24} {
		n, err := strconv.ParseInt(fields[field-firstBehind], 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("read what a process used: field %d: %w", field, err)
		}
		numbers[i] = n
	}
	return Usage{CPU: time.Duration(numbers[0]+numbers[1]) * ticks, Resident: numbers[2] * int64(os.Getpagesize())}, nil
}
