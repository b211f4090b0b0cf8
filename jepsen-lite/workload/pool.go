package workload

import (
	"fmt"
	"sync"
)

const (
	// ClientsMax is how many clients ask about one identity. Not more: the time to check a history grows steeply with them.
	ClientsMax = 8
	// askedMax is how often an identity is asked about before a fresh one takes its place.
	askedMax = 200
)

// identities are those that a group of clients asks about. They are safe for concurrent use.
type identities interface {
	// take returns the key of an identity to ask about; draw chooses among n.
	take(draw func(n int) int) string
	// keys are all keys that were ever offered, and current those that are offered at the moment.
	keys() []string
	current() []string
}

// pool is the identities of a group within one process.
type pool struct {
	prefix string

	mu    sync.Mutex
	slots []slot
	made  int
	all   []string
}

// slot is one identity, and how often it may still be asked about.
type slot struct {
	key  string
	left int
}

// newPool returns a pool that offers so many identities at a time.
func newPool(prefix string, size int) *pool {
	p := &pool{prefix: prefix, slots: make([]slot, size)}
	for i := range p.slots {
		p.fillLocked(i)
	}
	return p
}

func (p *pool) fillLocked(i int) {
	p.made++
	p.slots[i] = slot{fmt.Sprintf("%s-%d", p.prefix, p.made), askedMax}
	p.all = append(p.all, p.slots[i].key)
}

func (p *pool) take(draw func(n int) int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := draw(len(p.slots))
	if p.slots[i].left == 0 {
		p.fillLocked(i)
	}
	p.slots[i].left--
	return p.slots[i].key
}

func (p *pool) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.all...)
}

func (p *pool) current() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, s := range p.slots {
		list = append(list, s.key)
	}
	return list
}
