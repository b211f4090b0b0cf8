package procs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says what a process is to be.
type Config struct {
	Name string
	// Args is the command line, the binary first.
	Args []string
	// Env is added to this process's environment, from which BERTH_ variables are taken out.
	Env []string
	// Log is the file that its output goes to; what is there stays.
	Log string
	// Site is where it runs.
	Site Site
}

// Process is one process, over all its lives. It is safe for concurrent use.
type Process struct {
	Config

	mu struct {
		sync.Mutex
		life    *life
		stopped bool
		signals int
	}
}

// life is one life of a process.
type life struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// ErrRuns: the process runs already.
var ErrRuns = errors.New("it runs already")

// ErrEnded: the process does not run.
var ErrEnded = errors.New("it does not run")

// Start starts the process; again, when it has ended. It fails with ErrRuns, and with what the system says.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runsLocked() {
		return fmt.Errorf("%s: %w", p.Name, ErrRuns)
	}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(environment(), p.Env...)
	cmd.SysProcAttr = attributes()
	if err := p.Site.Do(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	l := &life{cmd, make(chan struct{})}
	p.mu.life, p.mu.stopped = l, false
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(l.done)
	}()
	return nil
}

// environment is this process's, without what would change the command lines of the others.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BERTH_") {
			env = append(env, e)
		}
	}
	return env
}

func (p *Process) runsLocked() bool {
	if p.mu.life == nil {
		return false
	}
	select {
	case <-p.mu.life.done:
		return false
	default:
		return true
	}
}

// Runs says whether the process does; one that is stopped does.
func (p *Process) Runs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runsLocked()
}

// Stopped says whether the process was stopped by Pause and has not been resumed.
func (p *Process) Stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runsLocked() && p.mu.stopped
}

// Signals is how many signals were sent to the process, in all its lives: who asked it for something and was not answered sees
// whether it was stopped or killed meanwhile.
func (p *Process) Signals() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.signals
}

// PID is the number of the process, or of its last life; zero before the first.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.life == nil {
		return 0
	}
	return p.mu.life.cmd.Process.Pid
}

// Done is closed when the life of the process that runs has ended; nil before the first.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.life == nil {
		return nil
	}
	return p.mu.life.done
}

// How says how the last life ended: "exit status 0", "signal: killed"; empty when it has not.
func (p *Process) How() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.life == nil || p.runsLocked() {
		return ""
	}
	return p.mu.life.cmd.ProcessState.String()
}

// signal sends a signal to the process, which has to run, and returns the life that got it.
func (p *Process) signal(s syscall.Signal) (*life, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.runsLocked() {
		return nil, fmt.Errorf("%s: %w", p.Name, ErrEnded)
	}
	if err := p.mu.life.cmd.Process.Signal(s); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			return nil, fmt.Errorf("%s: %w", p.Name, ErrEnded)
		}
		return nil, fmt.Errorf("%v to %s: %w", s, p.Name, err)
	}
	p.mu.signals++
	switch s {
	case syscall.SIGSTOP:
		p.mu.stopped = true
	case syscall.SIGCONT:
		p.mu.stopped = false
	}
	return p.mu.life, nil
}

// Kill ends the process with SIGKILL, and waits. It fails with ErrEnded when it does not run.
func (p *Process) Kill() error {
	l, err := p.signal(syscall.SIGKILL)
	if err == nil {
		<-l.done
	}
	return err
}

// stopPatience is how long a process may go on that was sent SIGSTOP. Where others want all processors it takes tens of milliseconds.
const stopPatience = 10 * time.Second

// Pause stops the process with SIGSTOP. On Linux it waits until all threads of the process have stopped, since what they do after the signal was
// sent would be taken for the deed of one that stands still. It fails with ErrEnded, also when the process ends meanwhile.
func (p *Process) Pause() error {
	l, err := p.signal(syscall.SIGSTOP)
	if err != nil {
		return err
	}
	for begin := time.Now(); !hasStopped(l.cmd.Process.Pid); time.Sleep(time.Millisecond) {
		switch {
		case !p.Runs():
			return fmt.Errorf("%s: %w", p.Name, ErrEnded)
		case !p.Stopped(): // somebody else has it go on
			return nil
		case time.Since(begin) > stopPatience:
			return fmt.Errorf("%s goes on %v after SIGSTOP", p.Name, stopPatience)
		}
	}
	return nil
}

// Resume has a process that was stopped go on. It fails with ErrEnded.
func (p *Process) Resume() error {
	_, err := p.signal(syscall.SIGCONT)
	return err
}

// Stop has the process end in order; when its patience is over it is killed, and the error says so. One that does not run
// is no error.
func (p *Process) Stop(patience time.Duration) error {
	if _, err := p.signal(syscall.SIGCONT); errors.Is(err, ErrEnded) {
		return nil
	}
	l, err := p.signal(syscall.SIGTERM)
	if errors.Is(err, ErrEnded) {
		return nil
	}
	if err != nil {
		return err
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-l.done:
		return nil
	case <-t.C:
	}
	if err := p.Kill(); err != nil && !errors.Is(err, ErrEnded) {
		return err
	}
	return fmt.Errorf("%s did not end within %v and was killed", p.Name, patience)
}

// Ask has a Go process write the stacks of its goroutines into its log, and end: for one that is stuck.
func (p *Process) Ask() error {
	if _, err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	_, err := p.signal(syscall.SIGQUIT)
	return err
}

// Tail is the end of the log.
func (p *Process) Tail(bytes int64) string {
	b, err := readTail(p.Log, bytes)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}
