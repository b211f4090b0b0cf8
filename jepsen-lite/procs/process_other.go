//go:build !linux

package procs

import "syscall"

// attributes are those of a process that Ctrl-C at the terminal is not for.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// hasStopped does not know, and takes each to have.
func hasStopped(int) bool { return true }
