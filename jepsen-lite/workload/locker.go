package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
)

// LockerConfig says what a process is that holds locks.
type LockerConfig struct {
	Name    string
	Servers []string
	// Locks are the names that it competes for; as many holders as there are locks run in it.
	Locks []string
	// Careless are lock holders, itself among them, that are each to keep a lock of their own until they lose it, and want those of the
	// others for a moment. Who holds one of those locks writes without a look at whether it still does. Empty for none.
	Careless []string
	// TTL is that of its sessions.
	TTL time.Duration
	// Seed decides what it does.
	Seed uint64
	// Resource, Dir and Start are those of MemberConfig.
	Resource string
	Dir      string
	Start    int64
}

// acquireTimeout bounds the waiting for a lock, and releaseTimeout that for its release.
const acquireTimeout, releaseTimeout = 4 * time.Second, 2 * time.Second

// RunLocker acquires, holds and releases locks until ctx ends. ready is called when its first session is open. When its history
// cannot be written it ends at once, with an error.
func RunLocker(ctx context.Context, c LockerConfig, ready func()) (err error) {
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var once sync.Once
	var group sync.WaitGroup
	ended := make(chan struct{})
	go func() {
		select {
		case <-file.Failed():
			cancel()
		case <-ended:
		}
	}()
	for i := range c.Locks {
		name := fmt.Sprintf("%s.%d", c.Name, i+1)
		h := &holder{config: c, name: name, rec: file.Recorder, client: client, writer: writer, rng: rand.New(rand.NewPCG(c.Seed, uint64(i)))}
		group.Go(func() { h.run(ctx, func() { once.Do(ready) }) })
	}
	for i, keeper := range c.Careless {
		n := len(c.Locks) + i
		h := &holder{
			config: c, name: fmt.Sprintf("%s.%d", c.Name, n+1), rec: file.Recorder, client: client, writer: writer, rng: rand.New(rand.NewPCG(c.Seed, uint64(n))),
			careless: keptKey(keeper), keeps: keeper == c.Name,
		}
		group.Go(func() { h.run(ctx, func() { once.Do(ready) }) })
	}
	group.Wait()
	close(ended)
	return nil
}

// longOf is of how many holds one is long.
const longOf = 25

// holder is one who asks for locks, one after the other.
type holder struct {
	config LockerConfig
	name   string
	lives  int
	rec    *history.Recorder
	client *lookupclient.Client
	writer *Writer
	rng    *rand.Rand
	// careless is the one lock that it asks for, and about which it is careless; empty for all the others. keeps says that it holds it
	// until it loses it.
	careless string
	keeps    bool
}

// wants draws the lock that it asks for next.
func (h *holder) wants() string {
	if h.careless != "" {
		return h.careless
	}
	return h.config.Locks[h.rng.IntN(len(h.config.Locks))]
}

// holding is for how long it holds a lock, and when that is over. Mostly short, so that many get it; sometimes up to two leases.
func (h *holder) holding(ctx context.Context) (context.Context, context.CancelFunc) {
	if h.keeps {
		return context.WithCancel(ctx)
	}
	length := time.Duration(h.rng.Int64N(int64(60 * time.Millisecond)))
	if h.careless == "" && h.rng.IntN(longOf) == 0 {
		length = time.Duration(h.rng.Int64N(2 * int64(h.config.TTL)))
	}
	return context.WithTimeout(ctx, length)
}

// run opens sessions, one when the one before is over.
func (h *holder) run(ctx context.Context, ready func()) {
	for ctx.Err() == nil {
		opening, cancel := context.WithTimeout(ctx, acquireTimeout)
		s, err := h.client.OpenSession(opening, lookupclient.SessionConfig{Holder: h.name, TTL: h.config.TTL})
		cancel()
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		ready()
		for ctx.Err() == nil && s.Context().Err() == nil && h.once(ctx, s) {
			pause(ctx, time.Duration(h.rng.IntN(50))*time.Millisecond)
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		_ = s.Close(closing) // when it fails the locks are free when the lease is over
		cancel()
	}
}

// once acquires, holds and releases a lock. It is false when the session is not to be used any more.
func (h *holder) once(ctx context.Context, s *lookupclient.Session) bool {
	name := h.wants()
	who := h.recorded()
	asking, cancel := context.WithTimeout(ctx, acquireTimeout)
	op := h.rec.Invoke(history.Call{Client: who, F: history.Acquire, Lock: name, Session: uint64(s.ID())})
	l, err := s.Acquire(asking, name, lookupclient.LockOptions{})
	cancel()
	if err != nil {
		return h.ended(op, err)
	}
	h.rec.OK(history.Answer{Op: op, Token: uint64(l.Token), Session: uint64(s.ID()), Held: true})
	b := &belief{rec: h.rec, hold: history.Hold{Lock: name, Member: who, Epoch: uint64(l.Token)}}
	holding, cancel := h.holding(l.Context())
	stop := context.AfterFunc(ctx, cancel)
	act(holding, b, l.Check, h.careless != "", func() { _, _ = h.writer.Write(name, who, uint64(l.Token)) })
	stop()
	cancel()
	if l.Context().Err() != nil {
		b.end("lost")
		return s.Context().Err() == nil
	}
	b.end("released")
	op = h.rec.Invoke(history.Call{Client: who, F: history.Release, Lock: name, Session: uint64(s.ID()), Token: uint64(l.Token)})
	giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	err = l.Release(giving)
	cancel()
	if err != nil {
		return h.ended(op, err)
	}
	h.rec.OK(history.Answer{Op: op, Token: uint64(l.Token), Session: uint64(s.ID())})
	return true
}

// recorded is the name under which the next operation is recorded: another one after each unknown outcome, since that
// operation may not be over.
func (h *holder) recorded() string {
	if h.lives == 0 {
		return h.name
	}
	return fmt.Sprintf("%s-%d", h.name, h.lives)
}

// ended records how an operation failed, and says whether its session can be used further.
func (h *holder) ended(op uint64, err error) bool {
	a, unknown := answerOf(op, err)
	if unknown {
		h.lives++
		h.rec.Unknown(a)
		return false // closing the session gives up what it may have got
	}
	h.rec.Fail(a)
	return true
}

// pause waits, as long as ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
