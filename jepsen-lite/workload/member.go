package workload

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// MemberConfig says what a member of the test is.
type MemberConfig struct {
	Name    string
	Servers []string
	Kinds   []string
	// Resource is the path of the Resource.
	Resource string
	// Dir gets the history, whose clock begins at Start.
	Dir   string
	Start int64
}

const (
	// writeEvery is after how many looks an owner writes to the resource.
	writeEvery = 5
	// leaveTimeout bounds leaving in order.
	leaveTimeout = 5 * time.Second
)

// RunMember runs a member until ctx ends, and leaves. joined is called when it has joined. When its history cannot be written it
// ends at once, with an error.
func RunMember(ctx context.Context, c MemberConfig, joined func()) (err error) {
	file, err := NewFile(c.Dir, c.Name, c.Start)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	client, err := lookupclient.Open(lookupclient.Config{Servers: c.Servers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	writer := NewWriter(c.Resource)
	defer func() { err = errors.Join(err, writer.Close()) }()
	o := &owner{name: c.Name, rec: file.Recorder, writer: writer}
	kinds := map[string]lookupclient.Kind{}
	for _, k := range c.Kinds {
		kinds[k] = lookupclient.Kind{Run: o.own}
	}
	m, err := client.Join(ctx, lookupclient.MemberConfig{Name: placement.MemberID(c.Name), Address: c.Name + ":1", Kinds: kinds})
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end before it had joined
		}
		return err
	}
	o.member.Store(m)
	joined()
	select {
	case <-ctx.Done():
	case <-file.Failed():
		return errors.New("what it sees cannot be written") // why is said by the file's end
	case <-m.Done():
		return errors.Join(errors.New("the member has ended"), m.Err())
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	return m.Leave(end)
}

// owner is what the activations of a member do.
type owner struct {
	name   string
	rec    *history.Recorder
	writer *Writer
	member atomic.Pointer[lookupclient.Member]
}

// own is the life of one activation: it looks whether it may act, often, and acts on the resource.
func (o *owner) own(a *lookupclient.Activation) {
	b := &belief{rec: o.rec, hold: history.Hold{Identity: a.Identity.String(), Member: o.name, Epoch: uint64(a.Epoch)}}
	if m := o.member.Load(); m != nil {
		b.hold.Incarnation = uint64(m.State().Incarnation)
	}
	act(a.Context(), b, a.Check, false, func() { _, _ = o.writer.Write(a.Identity.String(), o.name, uint64(a.Epoch)) })
	b.end(ending(context.Cause(a.Context())))
}

// ending is why a belief ended, for the history.
func ending(cause error) string {
	if errors.Is(cause, lookupclient.ErrLeaseLost) {
		return history.Lost
	}
	return cause.Error()
}

// act looks and writes until the owner's context ends. Who is careless writes whatever it saw, and once more when that is over, as one
// that was stopped between its look and its write.
func act(ctx context.Context, b *belief, check func() error, careless bool, write func()) {
	if careless {
		defer write()
	}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for n := 0; ; n++ {
		// The context is no condition here: one that is late must be seen as an owner that goes on.
		err := b.look(check)
		if (err == nil || careless) && n%writeEvery == 0 {
			write()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
