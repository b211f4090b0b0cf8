package lookupclient

import (
	"net"
	"slices"
	"sync"
	"time"
)

// linksKept is how many links to each server are kept in mind: one that gRPC has given up is there for five seconds more.
const linksKept = 4

// linksLinger is how long the connections to a server stay that is not of the cluster any more.
const linksLinger = 5 * time.Second

// links are the network connections under a gRPC connection, so that they can be broken. gRPC says goodbye on each before it closes it, and
// waits for seconds where that cannot go; and its Close does not even wait for those that it has given up already.
type links struct {
	mu   sync.Mutex
	over bool
	list map[string][]net.Conn // the newest few to each server, the newest last
}

func newLinks() *links { return &links{list: map[string][]net.Conn{}} }

// add notes a connection, and breaks it when all are to be broken.
func (l *links) add(address string, conn net.Conn) {
	l.mu.Lock()
	over, list := l.over, l.list[address]
	l.list[address] = append(list[max(0, len(list)-linksKept+1):], conn)
	l.mu.Unlock()
	if over {
		_ = conn.Close()
	}
}

// newest is the newest connection to a server; nil when there was none.
func (l *links) newest(address string) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if list := l.list[address]; len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}

// forget has the connections broken, after a while, to servers that are not of the given ones: what is on its way may arrive, and one that
// vanished would be told goodbye for ever.
func (l *links) forget(but []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for address, list := range l.list {
		if !slices.Contains(but, address) {
			list = slices.Clone(list)
			time.AfterFunc(linksLinger, func() { l.drop(address, list) })
		}
	}
}

// drop breaks some connections to a server.
func (l *links) drop(address string, conns []net.Conn) {
	l.mu.Lock()
	l.list[address] = slices.DeleteFunc(l.list[address], func(c net.Conn) bool { return slices.Contains(conns, c) })
	if len(l.list[address]) == 0 {
		delete(l.list, address)
	}
	l.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// breakAll breaks all connections, and those that are made later.
func (l *links) breakAll() {
	l.mu.Lock()
	l.over = true
	var all []net.Conn
	for _, list := range l.list {
		all = append(all, list...)
	}
	l.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}
