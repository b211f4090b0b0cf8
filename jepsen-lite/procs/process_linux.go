package procs

import "syscall"

// attributes are those of a process that does not outlive this one, and that Ctrl-C at the terminal is not for.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
