package lossyfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// ErrUnavailable: this machine, or this user, cannot have such a file system; the text says why.
var ErrUnavailable = errors.New("no lossy file system")

// Disk is a file system that was started. It is safe for concurrent use.
type Disk struct {
	dir     string
	command *exec.Cmd
	space   string // the mount namespace of its process, in the kernel's words

	mu sync.Mutex // over one request and its reply
	in io.WriteCloser
	w  *json.Encoder
	r  *json.Decoder
}

// Start starts the process of a file system, by a command line whose program calls Serve with its standard input and
// output. The file system is empty. It fails with ErrUnavailable where there cannot be one.
func Start(command []string) (*Disk, error) {
	c := exec.Command(command[0], command[1:]...)
	c.Stderr = os.Stderr
	seclude(c)
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: a mount namespace needs root: %w", ErrUnavailable, err)
	} else if err != nil {
		return nil, fmt.Errorf("start the lossy file system: %w", err)
	}
	d := &Disk{command: c, in: in, w: json.NewEncoder(in), r: json.NewDecoder(out)}
	first, err := d.reply()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.dir = first.Dir
	if d.space, err = os.Readlink(d.spacePath()); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Disk) spacePath() string { return fmt.Sprintf("/proc/%d/ns/mnt", d.PID()) }

// Mounted says whether the file system is there: it is as long as its process lives, in whose namespace it was mounted.
func (d *Disk) Mounted() bool {
	space, err := os.Readlink(d.spacePath())
	return err == nil && space == d.space
}

// Dir is the file system's root. It is valid until Close.
func (d *Disk) Dir() string { return d.dir }

// PID is the number of the process that serves it.
func (d *Disk) PID() int { return d.command.Process.Pid }

func (d *Disk) reply() (reply, error) {
	var a reply
	if err := d.r.Decode(&a); err != nil {
		return a, fmt.Errorf("the lossy file system has ended: %w", err)
	}
	switch {
	case a.Unavailable:
		return a, unavailableError(a.Error)
	case a.Error != "":
		return a, fmt.Errorf("lossy file system: %s", a.Error)
	}
	return a, nil
}

// unavailableError is ErrUnavailable with the text that came from the other process.
type unavailableError string

func (e unavailableError) Error() string        { return string(e) }
func (e unavailableError) Is(target error) bool { return target == ErrUnavailable }

func (d *Disk) ask(q request) (Stats, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.w.Encode(q); err != nil {
		return Stats{}, fmt.Errorf("the lossy file system has ended: %w", err)
	}
	a, err := d.reply()
	return a.Stats, err
}

// SetFaults says what goes wrong from now on, and that all else does not.
func (d *Disk) SetFaults(f Faults) error {
	_, err := d.ask(request{Faults: &f})
	return err
}

// PowerLoss takes away what was not synced. The processes that used the file system must have ended: it fails, and takes
// nothing away, when after a while a file is still open.
func (d *Disk) PowerLoss(l PowerLoss) error {
	_, err := d.ask(request{PowerLoss: &l})
	return err
}

// Stats counts what happened so far.
func (d *Disk) Stats() (Stats, error) { return d.ask(request{}) }

// Close ends the process, and with it the file system; whoever uses it has errors from then on.
func (d *Disk) Close() error {
	_ = d.in.Close()
	timer := time.AfterFunc(closing, func() { _ = d.command.Process.Kill() })
	defer timer.Stop()
	var ended *exec.ExitError
	if err := d.command.Wait(); err != nil && !errors.As(err, &ended) {
		return err
	}
	return nil
}
