package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) lockRunCommand() *cobra.Command {
	r := &lockRun{app: a}
	c := command("run NAME -- COMMAND…", "Run a command while holding a lock", cobra.MinimumNArgs(2), func(ctx context.Context, args []string) error {
		r.name, r.command = args[0], args[1:]
		return r.run(ctx)
	})
	c.Long = `Wait for a lock, run a command while it is held, and give it up when the command has ended. The command finds the name of the
lock in BERTH_LOCK and its token in BERTH_FENCING_TOKEN; give the token to whatever it changes, and have that refuse smaller ones.

When the lock is lost, because the cluster cannot be reached for --ttl or somebody broke it, the command is sent SIGTERM, and
SIGKILL after --grace; the exit status is 5. The lock stays taken for that time, so that nobody else begins meanwhile. If berth
itself is killed, the command is killed too (on Linux). Otherwise the exit status is that of the command.`
	c.Example = `  berth lock run nightly --wait 1m -- ./report.sh
  berth lock run db --permits 3 -- sh -c 'import --token "$BERTH_FENCING_TOKEN"'`
	r.flags.add(c, lookupclient.SessionTTLDefault)
	c.Flags().DurationVar(&r.grace, "grace", 5*time.Second, "how long the command may take to end when the lock is lost, at most 1m")
	a.asking(c)
	return c
}

// lockRun is one run of the command.
type lockRun struct {
	*app
	flags   lockFlags
	grace   time.Duration
	name    string
	command []string
}

// delayMargin is how much longer than its grace a lost lock stays taken: what it takes to kill a process.
const delayMargin = time.Second

func (r *lockRun) run(ctx context.Context) error {
	mode, err := r.flags.mode()
	if err != nil {
		return err
	}
	if r.grace < 0 || r.grace > time.Minute {
		return usage("--grace %v: 0 to %v is allowed", r.grace, time.Minute)
	}
	if err := placement.ValidateLockName(r.name); err != nil {
		return usage("%v", err)
	}
	return r.attend(func(c *lookupclient.Client) error { return r.hold(ctx, c, mode) })
}

// hold opens a session, waits for the lock, runs the command and gives all of it up.
func (r *lockRun) hold(ctx context.Context, c *lookupclient.Client, mode placement.LockMode) error {
	begun := time.Now()
	opening, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s, err := c.OpenSession(opening, lookupclient.SessionConfig{Holder: r.flags.holder, TTL: r.flags.ttl, Owner: "berth lock run"})
	if err != nil {
		return err
	}
	lock, err := r.acquire(ctx, s, lookupclient.LockOptions{Mode: mode, Permits: r.flags.permits, Delay: r.grace + delayMargin})
	if err != nil {
		r.close(ctx, s)
		return err
	}
	r.say("lock %s acquired, token %d (waited %v)", r.name, lock.Token, time.Since(begun).Round(100*time.Millisecond))
	held := time.Now()
	runErr := r.child(ctx, lock)
	lost, took := lock.Check(), time.Since(held).Round(100*time.Millisecond)
	r.close(ctx, s)
	if lost != nil {
		return &statusError{status: exitLost, err: fmt.Errorf("lock %s was lost after %v: %w", r.name, took, lost), next: "what the command did since is fenced off where tokens are looked at; run it again"}
	}
	r.say("lock %s released after %v", r.name, took)
	return runErr
}

// acquire waits for the lock.
func (r *lockRun) acquire(ctx context.Context, s *lookupclient.Session, o lookupclient.LockOptions) (*lookupclient.Lock, error) {
	if r.flags.wait == 0 {
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		return s.TryAcquire(ctx, r.name, o)
	}
	waiting, cancel := context.WithTimeout(ctx, r.flags.wait)
	defer cancel()
	lock, err := s.Acquire(waiting, r.name, o)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &statusError{status: exitLost, err: fmt.Errorf("lock %s is not free after %v", r.name, r.flags.wait), next: "berth lock get shows who holds it; --wait waits for longer"}
	}
	return lock, err
}

// close gives everything up, also when the command was interrupted.
func (r *lockRun) close(ctx context.Context, s *lookupclient.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		r.say("note: the cluster could not be told, so the lock is free when its lease is over: %v", err)
	}
}

// child runs the command until it ends, the lock is lost, or berth is interrupted.
func (r *lockRun) child(ctx context.Context, lock *lookupclient.Lock) error {
	stop, cancel := context.WithCancel(lock.Context())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	cmd := exec.CommandContext(stop, r.command[0], r.command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.in, r.out, r.err
	cmd.Env = append(os.Environ(), "BERTH_LOCK="+r.name, fmt.Sprintf("BERTH_FENCING_TOKEN=%d", lock.Token))
	cmd.SysProcAttr = childAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = max(r.grace, time.Millisecond)
	ended := make(chan error, 1)
	go func() { // a thread of its own: the child is bound to the life of the one that started it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ended <- cmd.Run()
	}()
	err := <-ended
	var exit *exec.ExitError
	switch {
	case err == nil || lock.Check() != nil:
		return nil // what became of the lock is said by the caller
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return &statusError{status: exit.ExitCode()}
	case errors.As(err, &exit):
		return &statusError{status: exitOther, err: fmt.Errorf("%s: %w", r.command[0], err)}
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		return usage("%s: there is no such command", r.command[0])
	}
	return fmt.Errorf("%s: %w", strings.Join(r.command, " "), err)
}
