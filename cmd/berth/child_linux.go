package main

import "syscall"

// childAttributes have a child killed when the process that started it is.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
