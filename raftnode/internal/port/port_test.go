package port

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzGreeting reads a greeting from any bytes. What is read can be written, and is read again as the same.
func FuzzGreeting(f *testing.F) {
	for _, g := range []Greeting{
		{}, {Cluster: "c", Server: "s1", Incarnation: "i", Address: "h:1", To: "s2", Hello: json.RawMessage(`{"x":[1,2]}`)},
		{Server: "s1", Refused: &RefusedError{By: "s2", Reason: ReasonRemoved, Detail: "gone"}},
	} {
		for kind := KindRaft; kind <= KindHello; kind++ {
			var b bytes.Buffer
			if err := writeGreeting(&b, kind, &g); err != nil {
				f.Fatal(err)
			}
			f.Add(b.Bytes())
			f.Add(b.Bytes()[:b.Len()/2])
		}
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("BRTH\x01\x01\xff\xff\xff\xff{"))
	f.Add([]byte("BRTH\x01\x01\x00\x00\x00\x04null"))
	f.Add([]byte("BRTH\x01\x03\x00\x00\x00\x0d{\"server\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, g, err := readGreeting(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrNotBerth) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: %v is none of the errors", b, err)
			}
			return
		}
		var again bytes.Buffer
		if err := writeGreeting(&again, kind, g); err != nil {
			// Bytes that JSON writes longer than they were, as \ufffd for one that is not UTF-8.
			if !strings.Contains(err.Error(), "at most") {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		kind2, g2, err := readGreeting(&again)
		if err != nil || kind2 != kind || g2.Server != g.Server || g2.Cluster != g.Cluster || g2.To != g.To || (g2.Refused == nil) != (g.Refused == nil) {
			t.Errorf("%q: read %+v, and then %+v, %v", b, g, g2, err)
		}
	})
}

// pipes is a network of listeners in memory.
type pipes struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
}

type pipeListener struct {
	address string
	conns   chan net.Conn
	errs    chan error // what Accept fails with
	done    chan struct{}
	once    sync.Once
}

func (n *pipes) Listen(address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*pipeListener{}
	}
	l := &pipeListener{address: address, conns: make(chan net.Conn), errs: make(chan error), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

func (n *pipes) Dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	a, b := net.Pipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return serverAddr(l.address) }

// host is a server that takes every greeting, unless it refuses them all.
type host struct {
	name   string
	refuse Reason
	book   map[string]string

	mu      sync.Mutex
	refused []Reason
	garbage []error
}

func (h *host) Self() Greeting {
	return Greeting{Cluster: "c", Server: h.name, Incarnation: "i", Address: h.name + ":1"}
}

func (h *host) Greet(_ Kind, from *Greeting) Greeting {
	g := h.Self()
	if h.refuse != "" {
		g.Refused = &RefusedError{By: h.name, Reason: h.refuse, Detail: "of " + from.Server}
	}
	g.Hello = from.Hello
	return g
}

func (h *host) Resolve(server string) (string, error) {
	if a := h.book[server]; a != "" {
		return a, nil
	}
	return "", errors.New("not found")
}

func (h *host) Refused(err *RefusedError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, err.Reason)
}

func (h *host) Garbage(_ net.Addr, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.garbage = append(h.garbage, err)
}

// pair runs two ports, a and b, that know each other.
func pair(t *testing.T, f func(t *testing.T, n *pipes, a, b *Port, ha, hb *host)) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipes{}
		book := map[string]string{"a": "a:1", "b": "b:1", "moved": "b:1", "silent": "silent:1"}
		ha, hb := &host{name: "a", book: book}, &host{name: "b", book: book}
		a, err := Open(n, "a:1", ha)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		b, err := Open(n, "b:1", hb)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		a.Start()
		b.Start()
		f(t, n, a, b, ha, hb)
	})
}

func TestPort_DialByName_ReachesRaftAndPeer(t *testing.T) {
	pair(t, func(t *testing.T, _ *pipes, a, b *Port, _, _ *host) {
		for name, end := range map[string]struct {
			dial   func() (net.Conn, error)
			accept func() (net.Conn, error)
		}{
			"raft": {func() (net.Conn, error) { return a.Raft().Dial("b", time.Second) }, b.Raft().Accept},
			"peer": {func() (net.Conn, error) { return a.DialPeer(t.Context(), "b") }, b.Peer().Accept},
		} {
			var got []byte
			var tasks sync.WaitGroup
			tasks.Go(func() {
				c, err := end.accept()
				if err != nil {
					t.Errorf("%s: accept: %v", name, err)
					return
				}
				got, _ = io.ReadAll(c)
				_ = c.Close()
			})
			c, err := end.dial()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			time.Sleep(time.Hour) // what the greeting set must not end the connection
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_ = c.Close()
			tasks.Wait()
			if string(got) != "hello" {
				t.Errorf("%s: got %q", name, got)
			}
		}
		if got := a.Raft().Addr().String(); got != "a" {
			t.Errorf("the address of Raft is %q, want the server's name", got)
		}
	})
}

func TestPort_Dial_Fails(t *testing.T) {
	pair(t, func(t *testing.T, n *pipes, a, b *Port, ha, hb *host) {
		silent, _ := n.Listen("silent:1")
		var tasks sync.WaitGroup
		tasks.Go(func() { // takes connections and says nothing
			for {
				c, err := silent.Accept()
				if err != nil {
					return
				}
				tasks.Go(func() { _, _ = io.Copy(io.Discard, c) })
			}
		})
		defer tasks.Wait()
		defer silent.Close()

		if _, err := a.DialPeer(t.Context(), "nobody"); err == nil || err.Error() != "not found" {
			t.Errorf("nobody: %v", err)
		}
		var refused *RefusedError
		if _, err := a.DialPeer(t.Context(), "moved"); !errors.As(err, &refused) || refused.Reason != ReasonOtherServer || refused.By != "b" {
			t.Errorf("another server is there: %v", err)
		}
		hb.refuse = ReasonRemoved
		if _, err := a.DialPeer(t.Context(), "b"); !errors.As(err, &refused) || refused.Reason != ReasonRemoved || refused.Detail != "of a" {
			t.Errorf("refused: %v", err)
		}
		if len(ha.refused) != 1 || ha.refused[0] != ReasonRemoved {
			t.Errorf("the host was told %v", ha.refused)
		}
		begin := time.Now()
		if _, err := a.DialPeer(t.Context(), "silent"); err == nil || time.Since(begin) != greetingTimeout {
			t.Errorf("silence: %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		time.AfterFunc(time.Second, func() { cancel(gone) })
		begin = time.Now()
		if _, err := a.DialPeer(ctx, "silent"); !errors.Is(err, gone) || time.Since(begin) != time.Second {
			t.Errorf("given up: %v after %v", err, time.Since(begin))
		}
		begin = time.Now()
		if _, err := a.Raft().Dial("silent", 2*time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 2*time.Second {
			t.Errorf("given up: %v after %v", err, time.Since(begin))
		}
		if _, err := a.Hello(t.Context(), "b:1", bytes.Repeat([]byte("1"), GreetingBytesMax)); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("a hello that is too long: %v", err)
		}
		_ = b.Close()
		if _, err := a.DialPeer(t.Context(), "b"); err == nil {
			t.Error("a closed port was reached")
		}
	})
}

func TestPort_Hello_IsAnsweredAndOver(t *testing.T) {
	pair(t, func(t *testing.T, _ *pipes, a, b *Port, _, _ *host) {
		g, err := a.Hello(t.Context(), "b:1", []byte(`{"x":1}`))
		if err != nil || g.Server != "b" || string(g.Hello) != `{"x":1}` {
			t.Errorf("hello: %+v, %v", g, err)
		}
		synctest.Wait()
		for name, p := range map[string]*Port{"a": a, "b": b} {
			if n := len(p.mu.conns); n != 0 {
				t.Errorf("%s keeps %d connections", name, n)
			}
		}
	})
}

// A connection that nobody accepts is not kept.
func TestPort_NobodyAccepts_ConnectionIsClosed(t *testing.T) {
	pair(t, func(t *testing.T, _ *pipes, a, _ *Port, _, _ *host) {
		c, err := a.DialPeer(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) != greetingTimeout {
			t.Errorf("read: %v after %v", err, time.Since(begin))
		}
		_ = c.Close()
	})
}

func TestPort_CloseStreams_PortGoesOn(t *testing.T) {
	pair(t, func(t *testing.T, _ *pipes, a, b *Port, _, _ *host) {
		connect := func() (net.Conn, net.Conn) {
			ch := make(chan net.Conn, 1)
			go func() {
				c, _ := b.Raft().Accept()
				ch <- c
			}()
			c, err := a.Raft().Dial("b", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return c, <-ch
		}
		c, accepted := connect()
		b.CloseStreams()
		if _, err := accepted.Write([]byte("x")); err == nil {
			t.Error("an accepted connection is open")
		}
		_ = c.Close()
		c, accepted = connect()
		a.CloseStreams()
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("a connection that was made is open")
		}
		_ = accepted.Close()
		_, _ = connect()
	})
}

func TestPort_Close_EndsEverythingOnce(t *testing.T) {
	pair(t, func(t *testing.T, n *pipes, a, b *Port, _, hb *host) {
		var tasks sync.WaitGroup
		for _, accept := range []func() (net.Conn, error){b.Raft().Accept, b.Peer().Accept} {
			tasks.Go(func() {
				if _, err := accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("accept: %v", err)
				}
			})
		}
		stranger, err := n.Dial(t.Context(), "b:1")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begin := time.Now()
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		tasks.Wait()
		if _, err := stranger.Read(make([]byte, 1)); err == nil || time.Since(begin) != 0 {
			t.Errorf("a stranger's connection: %v after %v", err, time.Since(begin))
		}
		if len(hb.garbage) != 0 {
			t.Errorf("what was closed is called garbage: %v", hb.garbage)
		}
		if _, err := b.DialPeer(t.Context(), "a"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial from a closed port: %v", err)
		}
		if _, err := b.Hello(t.Context(), "a:1", nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("hello from a closed port: %v", err)
		}
	})
}

// Who connects to somebody who does not answer does not outlive the port.
func TestPort_CloseWhileItConnects_Ends(t *testing.T) {
	pair(t, func(t *testing.T, n *pipes, a, _ *Port, _, _ *host) {
		if _, err := n.Listen("silent:1"); err != nil { // nobody accepts
			t.Fatal(err)
		}
		var tasks sync.WaitGroup
		for what, dial := range map[string]func() error{
			"Raft":  func() error { _, err := a.Raft().Dial("silent", time.Minute); return err },
			"peer":  func() error { _, err := a.DialPeer(t.Context(), "silent"); return err },
			"hello": func() error { _, err := a.Hello(t.Context(), "silent:1", nil); return err },
		} {
			tasks.Go(func() {
				if err := dial(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if tasks.Wait(); time.Since(begin) != 0 {
			t.Errorf("it took %v", time.Since(begin))
		}
	})
}

// One part closed leaves the other.
func TestPort_RaftLayerClosed_PeersGoOn(t *testing.T) {
	pair(t, func(t *testing.T, _ *pipes, a, b *Port, _, _ *host) {
		_ = b.Raft().Close()
		_ = b.Raft().Close()
		if _, err := b.Raft().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		c, err := a.Raft().Dial("b", time.Second)
		if err == nil {
			if _, err = c.Read(make([]byte, 1)); err == nil {
				t.Error("a closed layer said something")
			}
			_ = c.Close()
		}
		go func() {
			c, err := b.Peer().Accept()
			if err == nil {
				_, _ = c.Write([]byte("x"))
			}
		}()
		if c, err = a.DialPeer(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("the other part: %v", err)
		}
	})
}

// The system may run out of descriptors for a while.
func TestPort_AcceptFails_IsTriedAgain(t *testing.T) {
	pair(t, func(t *testing.T, n *pipes, a, _ *Port, _, _ *host) {
		begin := time.Now()
		for range 12 {
			n.listeners["b:1"].errs <- errors.New("too many open files")
		}
		// 1+2+4+…+512 ms, and then a second each.
		if took := time.Since(begin); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("tried again within %v", took)
		}
		if g, err := a.Hello(t.Context(), "b:1", nil); err != nil || g.Server != "b" {
			t.Errorf("hello: %v, %v", g, err)
		}
	})
}

func TestPort_Garbage_IsToldWithWhatItBeginsWith(t *testing.T) {
	pair(t, func(t *testing.T, n *pipes, _, _ *Port, _, hb *host) {
		for _, b := range []string{"GET / HTTP/1.1\r\n", "BRTH\x02\x01\x00\x00\x00\x00"} {
			c, err := n.Dial(t.Context(), "b:1")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, b)
			_, _ = io.ReadAll(c)
			_ = c.Close()
		}
		synctest.Wait()
		if len(hb.garbage) != 2 || !errors.Is(hb.garbage[0], ErrNotBerth) || !strings.Contains(hb.garbage[0].Error(), `"GET / HTTP"`) || !strings.Contains(hb.garbage[1].Error(), "version 2") {
			t.Errorf("told %v", hb.garbage)
		}
	})
}

func TestRefusedError_SaysWhoAndWhy(t *testing.T) {
	err := fmt.Errorf("dial: %w", &RefusedError{By: "s2", Reason: ReasonOtherDisk, Detail: "s1 is known with another disk"})
	if want := "server s2 refuses the connection: other disk: s1 is known with another disk"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q in it", err, want)
	}
}
