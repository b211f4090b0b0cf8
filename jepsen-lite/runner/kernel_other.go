//go:build !linux

package runner

import "runtime"

// kernel is the system's name.
func kernel() string { return runtime.GOOS }
