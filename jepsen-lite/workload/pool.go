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

// pool is the identities that a group of clients asks about. It is safe for concurrent use.
type pool struct {
	kind, prefix string

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
func newPool(kind, prefix string, size int) *pool {
	p := &pool{kind: kind, prefix: prefix, slots: make([]slot, size)}
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

// take returns the key of an identity to ask about; draw chooses among n.
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

// keys are all keys that were ever offered.
func (p *pool) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.all...)
}

// current are the keys that are offered at the moment.
func (p *pool) current() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, s := range p.slots {
		list = append(list, s.key)
	}
	return list
}
