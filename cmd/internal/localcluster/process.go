package localcluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// alive says whether there is a process of that number.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// Process is one process of the cluster that was started here.
type Process struct {
	Name string
	// Args is the command line, the binary first.
	Args []string
	log  string
	pipe *os.File // its end tells the process that the starter is gone; nil when the process is to outlive it
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// logBytesMax is how large a log grows before it is put aside at the next start.
const logBytesMax = 16 << 20

// start runs the process. It may be called again when the process has ended.
func (p *Process) start() error {
	if i, err := os.Stat(p.log); err == nil && i.Size() > logBytesMax {
		if err := os.Rename(p.log, p.log+".old"); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = Environment()
	// A group of its own: Ctrl-C is for the starter, which ends the processes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.pipe != nil {
		cmd.Args = append(cmd.Args, "--until-eof", "3")
		cmd.ExtraFiles = []*os.File{p.pipe}
	} else {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		p.err = cmd.Wait()
		close(done)
	}(p.done)
	return nil
}

// Environment is this process's, without what would change the command lines of the others.
func Environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BERTH_") {
			env = append(env, e)
		}
	}
	return env
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process with SIGKILL, and waits.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.done
	return nil
}

// ended says whether the process has.
func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// endAll has processes end in order: SIGTERM to all, and SIGKILL to those that do not heed it by the deadline.
func endAll(list []*Process, deadline time.Time) {
	for _, p := range list {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range list {
		select {
		case <-p.done:
		case <-time.After(time.Until(deadline)):
			_ = p.Kill()
		}
	}
}

// Command is the command line, for people.
func (p *Process) Command() string { return Command(p.Args) }

// Command is a command line for people.
func Command(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if quoted[i] = a; a == "" || strings.ContainsAny(a, " \t'\"$\\*?;&|<>()") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// ErrEnded: a process ended by itself that was to run.
var ErrEnded = errors.New("ended")

// endError says how a process that was to run ended, with the end of its log.
func (p *Process) endError() error {
	return fmt.Errorf("%s %w (%v); the end of %s:\n%s", p.Name, ErrEnded, p.cmd.ProcessState, p.log, tail(p.log))
}

// tail is the last lines of a file.
func tail(path string) string {
	const last = 2000
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if i, err := f.Stat(); err == nil && i.Size() > last {
		if _, err := f.Seek(-last, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "\n    ")
}

// binary is the berth that runs.
func binary() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the berth binary: %w", err)
	}
	return filepath.Clean(path), nil
}
