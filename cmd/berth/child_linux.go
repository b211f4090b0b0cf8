package main

import "syscall"

// childAttributes have a child killed when the process that started it is.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// groupAttributes have a child killed when the thread that started it is gone, and give it a process group of its own: Ctrl-C is its parent's.
func groupAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
