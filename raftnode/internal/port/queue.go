package port

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// queue is a net.Listener for connections whose greeting is done.
type queue struct {
	port *Port
	addr net.Addr
	ch   chan net.Conn
	once sync.Once
	done chan struct{}
}

func newQueue(p *Port, addr net.Addr) *queue {
	return &queue{port: p, addr: addr, ch: make(chan net.Conn), done: make(chan struct{})}
}

// offer waits until the connection is accepted; it closes it when nobody accepts any more.
func (q *queue) offer(c net.Conn) {
	select {
	case q.ch <- c:
	case <-q.done:
		_ = c.Close()
	case <-q.port.done:
		_ = c.Close()
	case <-time.After(greetingTimeout):
		_ = c.Close()
	}
}

// Accept waits for a connection; it fails with net.ErrClosed when the queue or its port is closed.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.ch:
		return c, nil
	case <-q.done:
	case <-q.port.done:
	}
	return nil, net.ErrClosed
}

// Close ends Accept; the port stays open.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr is where the port listens, or for Raft the server's name.
func (q *queue) Addr() net.Addr { return q.addr }

// serverAddr is a server's name where Raft wants an address. Raft never sees where a server is: it may move.
type serverAddr string

// Network is "server".
func (serverAddr) Network() string { return "server" }

// String is the name.
func (a serverAddr) String() string { return string(a) }

// Layer is a raft.StreamLayer whose addresses are the servers' names.
type Layer struct {
	*queue
	port *Port
}

// Dial connects to a server by its name.
func (l *Layer) Dial(server raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.port.dial(ctx, KindRaft, string(server))
}
