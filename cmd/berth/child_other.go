//go:build !linux

package main

import "syscall"

// childAttributes are none: the system does not tell a child that the process that started it has died.
func childAttributes() *syscall.SysProcAttr { return nil }

// groupAttributes give a child a process group of its own: Ctrl-C is its parent's.
func groupAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
