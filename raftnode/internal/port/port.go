package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Network is how ports are reached: TCP, or something that a test puts in its place.
type Network interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// TCP is the network of real servers.
type TCP struct{}

// Listen listens on a TCP address.
func (TCP) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// Dial connects to a TCP address.
func (TCP) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// Host is the server whose port it is. Its methods are called on many goroutines.
type Host interface {
	// Self is what the server says of itself.
	Self() Greeting
	// Greet looks at a connection's greeting and returns the reply. A Refused in it closes the connection.
	Greet(kind Kind, from *Greeting) Greeting
	// Resolve returns where a server's port is.
	Resolve(server string) (address string, err error)
	// Refused tells that another server refused a connection of ours.
	Refused(err *RefusedError)
	// Garbage tells that something connected which is no server.
	Garbage(from net.Addr, err error)
}

const (
	// greetingTimeout bounds how long a stranger can hold a connection.
	greetingTimeout = 5 * time.Second
	// greetingsMax bounds how many can do so at once; more are closed at once.
	greetingsMax = 256
)

// Port is a server's port.
type Port struct {
	network  Network
	host     Host
	listener net.Listener
	raft     *Layer
	peer     *queue
	life     context.Context // until Close
	end      context.CancelFunc
	done     <-chan struct{} // of life
	tasks    sync.WaitGroup

	mu struct {
		sync.Mutex
		closed    bool
		greetings int
		conns     map[*conn]struct{}
	}
}

// Open listens on an address. Who connects waits until Start is called.
func Open(network Network, address string, host Host) (*Port, error) {
	l, err := network.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("listen for servers: %w", err)
	}
	p := &Port{network: network, host: host, listener: l}
	p.life, p.end = context.WithCancel(context.Background())
	p.done = p.life.Done()
	p.mu.conns = map[*conn]struct{}{}
	p.peer = newQueue(p, l.Addr())
	p.raft = &Layer{queue: newQueue(p, serverAddr(host.Self().Server)), port: p}
	return p, nil
}

// Start begins to answer those who connect. It is called once, when the Host knows what to say of itself: a greeting is
// believed for good.
func (p *Port) Start() { p.tasks.Go(p.accept) }

// Address is where the port listens.
func (p *Port) Address() net.Addr { return p.listener.Addr() }

// Raft is the part of the port that carries Raft.
func (p *Port) Raft() *Layer { return p.raft }

// Peer is the part of the port that carries gRPC: a listener for its server.
func (p *Port) Peer() net.Listener { return p.peer }

func (p *Port) accept() {
	delay := time.Millisecond
	for {
		c, err := p.listener.Accept()
		if err != nil {
			select {
			case <-p.done:
				return
			case <-time.After(delay): // out of file descriptors, say: it may pass
				delay = min(2*delay, time.Second)
				continue
			}
		}
		delay = time.Millisecond
		t := p.track(c)
		if t == nil || !p.beginGreeting() {
			_ = c.Close()
			continue
		}
		p.tasks.Go(func() {
			defer p.endGreeting()
			p.greet(t)
		})
	}
}

func (p *Port) beginGreeting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed || p.mu.greetings >= greetingsMax {
		return false
	}
	p.mu.greetings++
	return true
}

func (p *Port) endGreeting() {
	p.mu.Lock()
	p.mu.greetings--
	p.mu.Unlock()
}

// greet finishes the greeting of an accepted connection and hands it on.
func (p *Port) greet(c *conn) {
	_ = c.SetDeadline(time.Now().Add(greetingTimeout))
	kind, from, err := readGreeting(c)
	if err != nil {
		if !p.isClosed() {
			p.host.Garbage(c.RemoteAddr(), err)
		}
		_ = c.Close()
		return
	}
	reply := p.host.Greet(kind, from)
	if err := writeGreeting(c, kind, &reply); err != nil || reply.Refused != nil || kind == KindHello {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	if kind == KindRaft {
		p.raft.offer(c)
	} else {
		p.peer.offer(c)
	}
}

// dial connects to a server by name.
func (p *Port) dial(ctx context.Context, kind Kind, server string) (net.Conn, error) {
	address, err := p.host.Resolve(server)
	if err != nil {
		return nil, err
	}
	c, _, err := p.exchange(ctx, kind, address, server, nil)
	return c, err
}

// DialPeer connects to the peer service of a server by name.
func (p *Port) DialPeer(ctx context.Context, server string) (net.Conn, error) {
	return p.dial(ctx, KindPeer, server)
}

// Hello exchanges greetings with whatever server has the address. hello is the contents of ours.
func (p *Port) Hello(ctx context.Context, address string, hello []byte) (*Greeting, error) {
	c, reply, err := p.exchange(ctx, KindHello, address, "", hello)
	if err != nil {
		return nil, err
	}
	return reply, c.Close()
}

// exchange connects and greets.
func (p *Port) exchange(ctx context.Context, kind Kind, address, to string, hello []byte) (net.Conn, *Greeting, error) {
	raw, err := p.connect(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	c := p.track(raw)
	if c == nil {
		return nil, nil, net.ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(greetingTimeout))
	self := p.host.Self()
	self.To, self.Hello = to, hello
	reply, err := p.converse(c, kind, &self)
	if err == nil && to != "" && reply.Server != to {
		err = &RefusedError{By: reply.Server, Reason: ReasonOtherServer, Detail: fmt.Sprintf("%s was dialled at %s", to, address)}
	}
	if err != nil {
		_ = c.Close()
		return nil, nil, fmt.Errorf("greet %s: %w", address, errors.Join(err, context.Cause(ctx)))
	}
	_ = c.SetDeadline(time.Time{})
	return c, reply, nil
}

// connect connects, as long as the port is open: Raft ends without waiting for all that it has begun, and what connects is no connection yet
// that could be closed.
func (p *Port) connect(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	c, err := p.network.Dial(ctx, address)
	if err != nil && p.life.Err() != nil {
		err = net.ErrClosed
	}
	return c, err
}

func (p *Port) converse(c net.Conn, kind Kind, self *Greeting) (*Greeting, error) {
	if err := writeGreeting(c, kind, self); err != nil {
		return nil, err
	}
	_, reply, err := readGreeting(c)
	if err != nil {
		return nil, err
	}
	if reply.Refused != nil {
		p.host.Refused(reply.Refused)
		return nil, reply.Refused
	}
	return reply, nil
}

// CloseStreams closes every connection that is open; others may be made after it.
func (p *Port) CloseStreams() {
	p.mu.Lock()
	conns := make([]*conn, 0, len(p.mu.conns))
	for c := range p.mu.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Close stops listening, closes every connection, and waits for the goroutines of the port. It may be called twice.
func (p *Port) Close() error {
	p.mu.Lock()
	first := !p.mu.closed
	p.mu.closed = true
	p.mu.Unlock()
	var err error
	if first {
		p.end()
		err = p.listener.Close()
	}
	p.CloseStreams()
	p.tasks.Wait()
	return err
}

func (p *Port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.closed
}

// conn is a connection that the port knows of until it is closed.
type conn struct {
	net.Conn
	port *Port
}

// track returns nil, with the connection closed, when the port is.
func (p *Port) track(c net.Conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		_ = c.Close()
		return nil
	}
	t := &conn{c, p}
	p.mu.conns[t] = struct{}{}
	return t
}

// Close closes the connection.
func (c *conn) Close() error {
	c.port.mu.Lock()
	delete(c.port.mu.conns, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}
