//go:build !linux

package scratch

// InMemory is empty: memory is a directory on Linux alone.
func InMemory() string { return "" }
