package localcluster

import (
	"fmt"
	"os"
	"strings"
)

// birth is when a process was started, in the kernel's words; empty when there is none.
func birth(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name, in parentheses, may contain anything; the start time is field 22, the twentieth after it.
	_, rest, _ := strings.Cut(string(b[:]), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}
