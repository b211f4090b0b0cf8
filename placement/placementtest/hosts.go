package placementtest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Hosts are the members of a cluster in one process that a Storage knows nothing of: they run what they are told to, and end
// when they are killed. They see when two of them act for one identity.
type Hosts struct {
	mu      sync.Mutex
	alive   map[placement.MemberID]map[string]func(placement.Identity) error // the kinds of each
	running map[placement.MemberID]map[string]*running                       // by reference
	last    uint64
	begun   int
	twice   []string
}

// beginTakes is how long it takes to begin an activation: so that others come meanwhile.
const beginTakes = 2 * time.Millisecond

// running is one activation. It is hidden until it acts.
type running struct {
	id   placement.Identity
	acts bool
}

// NewHosts returns a cluster without members.
func NewHosts() *Hosts {
	return &Hosts{alive: map[placement.MemberID]map[string]func(placement.Identity) error{}, running: map[placement.MemberID]map[string]*running{}}
}

// Add adds a member that hosts the kinds that its functions are named by. Their errors refuse an activation.
func (h *Hosts) Add(member placement.MemberID, kinds map[string]func(placement.Identity) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alive[member], h.running[member] = kinds, map[string]*running{}
}

// Kill ends a member, with all that runs on it.
func (h *Hosts) Kill(member placement.MemberID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.alive, member)
	delete(h.running, member)
}

// Members are those that are there, ascending by name.
func (h *Hosts) Members() (list []placement.MemberID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.alive {
		list = append(list, m)
	}
	slices.Sort(list)
	return list
}

// Begin has a member begin an activation, which does not act yet, and returns its reference.
func (h *Hosts) Begin(member placement.MemberID, id placement.Identity) (ref string, err error) {
	h.mu.Lock()
	kinds, there := h.alive[member]
	h.mu.Unlock()
	switch begin := kinds[id.Kind]; {
	case !there:
		return "", fmt.Errorf("%s is not there", member)
	case begin == nil:
		return "", fmt.Errorf("%s does not host the kind", member)
	default:
		if err := begin(id); err != nil {
			return "", fmt.Errorf("%s: %w", member, err)
		}
	}
	time.Sleep(beginTakes)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[member] == nil {
		return "", fmt.Errorf("%s has ended meanwhile", member)
	}
	h.last++
	h.begun++
	ref = fmt.Sprint("pid-", h.last)
	h.running[member][ref] = &running{id: id}
	return ref, nil
}

// Act lets an activation act: it is stored.
func (h *Hosts) Act(member placement.MemberID, ref string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.running[member][ref]
	if r == nil || r.acts {
		return
	}
	r.acts = true
	for other, all := range h.running {
		for name, x := range all {
			if x.acts && x.id == r.id && x != r {
				h.twice = append(h.twice, fmt.Sprintf("%v acts as %s on %s and as %s on %s", r.id, ref, member, name, other))
			}
		}
	}
}

// Stop ends an activation. One that is not there is none.
func (h *Hosts) Stop(member placement.MemberID, ref string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running[member], ref)
}

// Runs asks a member whether it runs an activation of the identity under the reference, acting or not.
func (h *Hosts) Runs(member placement.MemberID, id placement.Identity, ref string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.running[member][ref]
	return r != nil && r.id == id
}

// Begun is the number of activations that were begun.
func (h *Hosts) Begun() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.begun
}

// Of is the number of activations of an identity that act, and of those that are hidden still.
func (h *Hosts) Of(id placement.Identity) (acting, hidden int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, all := range h.running {
		for _, r := range all {
			switch {
			case r.id != id:
			case r.acts:
				acting++
			default:
				hidden++
			}
		}
	}
	return acting, hidden
}

// Twice says where two acted for one identity at once.
func (h *Hosts) Twice() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.twice)
}
