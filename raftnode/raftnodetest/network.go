package raftnodetest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Network is a network in memory. Hosts are names; an address is host:port. Each pair of hosts has a link in either
// direction, which can be cut and delayed. Bytes that meet a cut link are sent again as TCP does it, at times that double,
// and go on at the first that finds the link healed; a host that is reset loses its connections at once, as when its
// process is killed.
//
// Every goroutine of the network ends when the connections that it serves are closed.
type Network struct {
	// Late, unless it is nil, is called for whatever goes from one host to another, as many bytes at once, or none for a
	// connection that is opened. It returns how much longer that takes than the link says. Set it before the network is used.
	Late func(from, to string, bytes int) time.Duration

	mu        sync.Mutex
	listeners map[string]*listener
	links     map[link]*state
	conns     map[*pair]struct{}
	connected uint64 // connections so far
}

type link struct{ from, to string }

type state struct {
	cut   bool
	delay time.Duration
}

// NewNetwork returns a network without hosts. A host comes to be by being named.
func NewNetwork() *Network {
	return &Network{listeners: map[string]*listener{}, links: map[link]*state{}, conns: map[*pair]struct{}{}}
}

// Host is the network as one host sees it.
type Host struct {
	network *Network
	name    string
}

// Host returns the network as seen from the host of that name.
func (n *Network) Host(name string) *Host { return &Host{n, name} }

// hostOf is the host part of an address.
func hostOf(address string) string {
	host, _, _ := strings.Cut(address, ":")
	return host
}

// set changes links in both directions between the two hosts, or in one.
func (n *Network) set(from, to string, change func(*state)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.links[link{from, to}]
	if s == nil {
		s = &state{}
		n.links[link{from, to}] = s
	}
	change(s)
}

// Cut cuts or heals the link from one host to another, in that direction alone.
func (n *Network) Cut(from, to string, cut bool) { n.set(from, to, func(s *state) { s.cut = cut }) }

// Delay makes whatever goes from one host to another take that much longer.
func (n *Network) Delay(from, to string, d time.Duration) {
	n.set(from, to, func(s *state) { s.delay = d })
}

// Isolate cuts or heals all links between a host and the others.
func (n *Network) Isolate(host string, cut bool, others ...string) {
	for _, o := range others {
		if o == host {
			continue
		}
		n.Cut(host, o, cut)
		n.Cut(o, host, cut)
	}
}

// Reset closes every connection of a host at once and stops its listeners, as when its process is killed.
func (n *Network) Reset(host string) {
	n.mu.Lock()
	var ls []*listener
	for addr, l := range n.listeners {
		if hostOf(addr) == host {
			ls = append(ls, l)
		}
	}
	n.mu.Unlock()
	slices.SortFunc(ls, func(a, b *listener) int { return strings.Compare(a.address, b.address) })
	for _, l := range ls { // first, so that nobody opens another connection meanwhile
		_ = l.Close()
	}
	n.Break(host)
}

// Break closes every connection of a host at once; others can be opened.
func (n *Network) Break(host string) {
	n.mu.Lock()
	var conns []*pair
	for p := range n.conns {
		if p.a == host || p.b == host {
			conns = append(conns, p)
		}
	}
	n.mu.Unlock()
	slices.SortFunc(conns, func(a, b *pair) int { return cmp.Compare(a.number, b.number) })
	for _, p := range conns {
		p.close()
	}
}

// state is how long it takes to go over all of the links, and whether one is cut.
func (n *Network) state(links []link) (delay time.Duration, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range links {
		if s := n.links[l]; s != nil {
			delay, cut = delay+s.delay, cut || s.cut
		}
	}
	return delay, cut
}

// Listen makes the host listen on an address, which must be its own.
func (h *Host) Listen(address string) (net.Listener, error) {
	if hostOf(address) != h.name {
		return nil, fmt.Errorf("listen %s: not an address of %s", address, h.name)
	}
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if h.network.listeners[address] != nil {
		return nil, fmt.Errorf("listen %s: address already in use", address)
	}
	l := &listener{network: h.network, address: address, ch: make(chan net.Conn), done: make(chan struct{})}
	h.network.listeners[address] = l
	return l, nil
}

// Dial connects from the host to an address. It is refused when nobody listens there, and waits for ctx when a link is
// cut.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	to := hostOf(address)
	if err := h.network.late(ctx, nil, link{h.name, to}, 0); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: err}
	}
	if err := h.network.pass(ctx, resendOpen, nil, link{h.name, to}, link{to, h.name}); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: err}
	}
	h.network.mu.Lock()
	l := h.network.listeners[address]
	h.network.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: fmt.Errorf("%s: connection refused", address)}
	}
	local, remote := h.network.connect(h.name, to)
	select {
	case l.ch <- remote:
		select {
		case <-l.done: // it was closed meanwhile
		default:
			return local, nil
		}
	case <-l.done:
	case <-ctx.Done():
	}
	_ = local.Close()
	_ = remote.Close()
	return nil, &net.OpError{Op: "dial", Net: "memory", Err: fmt.Errorf("%s: connection refused", address)}
}

// After how long TCP sends again what was not answered, for the first time; each time is twice as long as the one before.
// The values are those of Linux.
const (
	resendOpen  = time.Second
	resendBytes = 200 * time.Millisecond
	resendMax   = 2 * time.Minute
)

// pass waits until something has gone over all of the links. resend is when it is sent again if it was lost.
func (n *Network) pass(ctx context.Context, resend time.Duration, done <-chan struct{}, links ...link) error {
	for {
		delay, cut := n.state(links)
		if cut {
			delay = resend
			resend = min(2*resend, resendMax)
		}
		if err := wait(ctx, done, delay); err != nil || !cut {
			return err
		}
	}
}

// late waits as long as Late says.
func (n *Network) late(ctx context.Context, done <-chan struct{}, l link, bytes int) error {
	if n.Late == nil {
		return nil
	}
	return wait(ctx, done, n.Late(l.from, l.to, bytes))
}

func wait(ctx context.Context, done <-chan struct{}, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return io.ErrClosedPipe
	}
}

// pair is a connection: two pipes, and two goroutines that carry bytes from one to the other as the links allow.
//
//	a's end ═ pipe ═ carry ═▶ pipe ═ b's end
type pair struct {
	network *Network
	number  uint64
	a, b    string
	ends    [2]net.Conn // given out
	inner   [2]net.Conn // the network's
	once    sync.Once
	done    chan struct{}

	mu     sync.Mutex
	closed *end // the end that was closed first
}

func (n *Network) connect(a, b string) (net.Conn, net.Conn) {
	p := &pair{network: n, a: a, b: b, done: make(chan struct{})}
	p.ends[0], p.inner[0] = net.Pipe()
	p.ends[1], p.inner[1] = net.Pipe()
	n.mu.Lock()
	n.connected++
	p.number = n.connected
	n.conns[p] = struct{}{}
	n.mu.Unlock()
	go p.carry(0, 1, a, b)
	go p.carry(1, 0, b, a)
	return &end{p.ends[0], p, addr(a), addr(b)}, &end{p.ends[1], p, addr(b), addr(a)}
}

// carry moves bytes from one end to the other until one of them is closed.
func (p *pair) carry(from, to int, fromHost, toHost string) {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.inner[from].Read(buf)
		if p.network.late(context.Background(), p.done, link{fromHost, toHost}, n) != nil {
			return
		}
		// News of a close is held up by a cut link as bytes are.
		if p.network.pass(context.Background(), resendBytes, p.done, link{fromHost, toHost}) != nil {
			return
		}
		if err != nil {
			p.close()
			return
		}
		if _, err := p.inner[to].Write(buf[:n]); err != nil {
			p.close()
			return
		}
	}
}

// close ends the connection: who reads from either end finds that the other one is closed.
func (p *pair) close() {
	p.once.Do(func() {
		close(p.done)
		p.network.mu.Lock()
		delete(p.network.conns, p)
		p.network.mu.Unlock()
		for i := range p.inner {
			_ = p.inner[i].Close()
		}
	})
}

// end is one end of a connection, with addresses.
type end struct {
	net.Conn
	pair          *pair
	local, remote addr
}

// Close closes the end; the other one learns of it when the link lets the news pass.
func (e *end) Close() error {
	err := e.Conn.Close()
	e.pair.mu.Lock()
	both := e.pair.closed != nil && e.pair.closed != e
	if e.pair.closed == nil {
		e.pair.closed = e
	}
	e.pair.mu.Unlock()
	if both {
		e.pair.close()
	}
	return err
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

type addr string

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }

type listener struct {
	network *Network
	address string
	ch      chan net.Conn
	once    sync.Once
	done    chan struct{}
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ch:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close stops listening.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.network.mu.Lock()
		delete(l.network.listeners, l.address)
		l.network.mu.Unlock()
	})
	return nil
}

// Addr is the address.
func (l *listener) Addr() net.Addr { return addr(l.address) }
