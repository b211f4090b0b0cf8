package procs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes are those of a process that does not outlive this one, and that Ctrl-C at the terminal is not for.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// hasStopped says whether a process that this one has started has stopped by a signal, with all of its threads.
func hasStopped(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}
