package lookupclient_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/raftnode"
)

// gate holds whatever passes it while it is shut.
type gate struct {
	mu   sync.Mutex
	shut chan struct{}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

// endsInTime waits for the end of contexts, which must come when the lease of 5 s is over at the latest.
func endsInTime(t *testing.T, what string, begin time.Time, list ...context.Context) {
	t.Helper()
	for _, ctx := range list {
		<-ctx.Done()
		if took := time.Since(begin); took > 5*time.Second || took < 3*time.Second {
			t.Errorf("%s: a context ended after %v, the lease is 5s", what, took)
		}
		if cause := context.Cause(ctx); !errors.Is(cause, lookupclient.ErrLeaseLost) {
			t.Errorf("%s: it ended for %v", what, cause)
		}
	}
}

// When the servers' disks stall, nothing is proved any more, whatever still answers: activations and locks end in time.
func TestMember_ServersDisksStall_ContextsEndInTime(t *testing.T) {
	var disks gate
	change := func(c *raftnode.Config) {
		c.Seams.Write = func(string) error { disks.pass(); return nil }
	}
	bubbleWith(t, 3, change, func(t *testing.T, w *world) {
		began := make(chan *lookupclient.Activation, 20)
		w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Run: func(a *lookupclient.Activation) { began <- a; <-a.Context().Done() }}
		})
		if _, err := w.client("client").PlaceAll(t.Context(), carts(20)); err != nil {
			t.Fatal(err)
		}
		var ends []context.Context
		for range 20 {
			ends = append(ends, (<-began).Context())
		}
		ends = append(ends, acquire(t, w.session("b", 5*time.Second), "x", lookupclient.LockOptions{}).Context())
		disks.close()
		defer disks.open()
		endsInTime(t, "the servers' disks stall", time.Now(), ends...)
	})
}

// stalledLog is a log on a disk that stalls.
type stalledLog struct {
	slog.Handler
	disk *gate
}

func (l stalledLog) Handle(context.Context, slog.Record) error { l.disk.pass(); return nil }

// What the member's own process is held up by does not hold up the end of its contexts: a log on a stalled disk, and a
// program that is told of changes and does not come back.
func TestMember_OwnDiskStalls_ContextsEndInTime(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var disk gate
		h := w.c.Network.Host("a")
		c, err := lookupclient.Open(lookupclient.Config{
			Servers: []string{"s1:7420", "s2:7420", "s3:7420"},
			Dial:    func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) },
			Logger:  slog.New(stalledLog{slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), &disk}),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.clients = append(w.clients, c)
		began := make(chan *lookupclient.Activation, 20)
		m, err := c.Join(t.Context(), lookupclient.MemberConfig{
			Name: "a", Address: "a:9000", Now: memberNow, OnChange: func(int) { disk.pass() },
			Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) { began <- a; <-a.Context().Done() }}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
		if _, err := w.client("client").PlaceAll(t.Context(), carts(20)); err != nil {
			t.Fatal(err)
		}
		var ends []context.Context
		for range 20 {
			ends = append(ends, (<-began).Context())
		}
		disk.close()
		defer disk.open()
		w.isolate("a", true)
		endsInTime(t, "its own disk stalls", time.Now(), ends...)
		w.isolate("a", false)
	})
}
