package sim

import (
	"sync"

	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// links are the cuts of all faults at once: a link is cut as long as one of them cuts it.
type links struct {
	network *raftnodetest.Network

	mu   sync.Mutex
	cuts map[[2]string]int
}

// cut cuts a link, in one direction, or takes one cut away.
func (l *links) cut(from, to string, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := [2]string{from, to}
	if cut {
		l.cuts[k]++
	} else {
		l.cuts[k]--
	}
	l.network.Cut(from, to, l.cuts[k] > 0)
}

// isolate cuts a host off from others, both ways, or takes that away.
func (l *links) isolate(host string, others []string, cut bool) {
	for _, o := range others {
		if o != host {
			l.cut(host, o, cut)
			l.cut(o, host, cut)
		}
	}
}

// alone says whether a host is cut off from most of the others, in one direction at least.
func (l *links) alone(host string, others []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	cut := 0
	for _, o := range others {
		if l.cuts[[2]string{host, o}] > 0 || l.cuts[[2]string{o, host}] > 0 {
			cut++
		}
	}
	return 2*cut > len(others)
}
