package events

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// EventsMax is how many events are kept at most. Not more: each takes 176 bytes beside its texts, so all of them some
	// 11 MB, on every server. Not fewer: at 1,000 placements a second, of two events each, they last for half a minute.
	EventsMax = 1 << 16
	// TextBytesMax is how long the names in them may be together, and their details: keys may be long.
	TextBytesMax = 8 << 20
	// ViewsMax is how many views are kept of moments at which members ended. A view that is kept holds the memory of what was
	// changed since; the events of that many changes are kept, too.
	ViewsMax = 16

	slabEvents = 64 // that are allocated at once
	headsMask  = 1<<16 - 1
)

// Ring has the newest events. One goroutine adds, any number read. Those who read one event after the other take no lock, so
// that they hold nobody up: an event is not changed once it is in its slot, and is only looked at when the extent says that it
// is there.
type Ring struct {
	mu sync.RWMutex
	extent
	// barrier is up to where removals are complete.
	barrier   uint64
	textBytes int
	slab      []kept
	heads     [headsMask + 1]uint64 // by hash: one more than the number of the newest event; zero for none

	slots  [EventsMax]atomic.Pointer[kept] // by number
	extant atomic.Pointer[extent]          // as of the newest that was added; nil before

	announcer announcer
}

// extent is which events there are.
type extent struct {
	// after is the log index behind which every event is here, and last the newest one that was added.
	after, last uint64
	// first and next number the events: all from first on are kept, and next comes next.
	first, next uint64
	// views are those behind ends of members, ascending by the numbers of the events. The slice is not changed.
	views []endView
}

// endView is the state right behind the end of a member that owned something.
type endView struct {
	number uint64
	view   *snapshot.View
}

// kept is an event, its number, and the number, plus one, of the one before it with the same hash.
type kept struct {
	Event
	number, before uint64
}

// Begin forgets everything: the state is that of a view, and what led there is not known. Who reads finds that events were
// lost.
func (r *Ring) Begin(v *snapshot.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.heads[:])
	for i := range r.slots {
		r.slots[i].Store(nil)
	}
	r.next++ // whoever waits for what comes next has lost something
	r.after, r.last, r.first, r.textBytes, r.views = v.Index, v.Index, r.next, 0, nil
	if r.barrier = v.Barrier; v.OldestRemoval() == 0 {
		r.barrier = v.Index // nothing up to there is to be completed
	}
	r.publishLocked()
}

// Add takes what entries did, in the order of the log. v is the view behind the last of them, or nil: what a member owned is
// known only when it ended in that one.
func (r *Ring) Add(outputs []*fsm.Output, v *snapshot.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, out := range outputs {
		if out.Started {
			r.addLocked(&Event{Index: out.Index, Time: out.Time, Type: LeaderChanged, Detail: &Detail{Server: out.Server, Term: out.Term}})
		}
		for i := range out.Changes {
			c := &out.Changes[i]
			if c.Type == fsm.PlacementChanged {
				list, n := of(out, c)
				for j := range n {
					r.addLocked(&list[j])
				}
				continue
			}
			e := detailOf(out, c, r.barrier, v)
			if r.addLocked(&e); e.Type == MemberEnded && e.Detail.Owned > 0 {
				r.views = append(slices.Clone(r.views), endView{r.next - 1, v})
			}
		}
		for len(r.views) > 0 && (r.views[0].number < r.first || len(r.views) > ViewsMax) {
			r.views = append([]endView(nil), r.views[1:]...) // not the array, which has the first one
		}
		r.barrier, r.last = max(r.barrier, out.Barrier), max(r.last, out.Index)
	}
	r.publishLocked()
}

// publishLocked lets readers see what was added, and tells them.
func (r *Ring) publishLocked() {
	e := r.extent
	r.extant.Store(&e)
	r.announcer.notify()
}

func (r *Ring) addLocked(e *Event) {
	for r.first < r.next && (r.next-r.first == EventsMax || r.textBytes > TextBytesMax) {
		old := r.at(r.first)
		r.after = old.Index
		r.textBytes -= textBytes(&old.Event)
		r.slots[r.first%EventsMax].Store(nil)
		r.first++
	}
	if len(r.slab) == cap(r.slab) {
		r.slab = make([]kept, 0, slabEvents)
	}
	head := &r.heads[hashOf(e)&headsMask]
	r.slab = append(r.slab, kept{*e, r.next, *head})
	r.slots[r.next%EventsMax].Store(&r.slab[len(r.slab)-1])
	r.next++
	*head = r.next
	r.textBytes += textBytes(e)
}

// at is the event of a number that is kept.
func (r *Ring) at(number uint64) *kept {
	return r.slots[number%EventsMax].Load()
}

// textBytes is what an event keeps in memory beside itself. The name of a member is that of the member.
func textBytes(e *Event) int {
	n := len(e.Identity.Kind) + len(e.Identity.Key) + len(e.Failure.Text)
	switch d := e.Detail; {
	case d == nil:
	case d.Lock != nil:
		n += detailBytes + len(d.Lock.Name)
	case d.Block != nil:
		n += detailBytes + len(d.Block.Reason) + len(d.Block.By) + len(d.Block.Identity.Key)
	default:
		n += detailBytes
	}
	return n
}

// detailBytes is what a Detail and a claim take beside their texts.
const detailBytes = 160

// hashOf tells the threads of events apart: an identity has one, and so has a member's life.
func hashOf(e *Event) uint64 {
	if e.Detail != nil {
		return lifeHash(e.Incarnation) // nobody asks for those without one
	}
	return identityHash(e.Identity)
}

func identityHash(id placement.Identity) uint64 {
	return xxh3.HashStringSeed(id.Key, uint64(len(id.Kind)))
}

func lifeHash(inc placement.Incarnation) uint64 { return uint64(inc) * 0x9e3779b97f4a7c15 >> 32 }

// thread calls f with the events of one hash, the newest first, until it returns false.
func (r *Ring) thread(hash uint64, f func(number uint64, e *Event) bool) {
	for n := r.heads[hash&headsMask]; n > r.first; {
		k := r.at(n - 1)
		if !f(n-1, &k.Event) {
			return
		}
		n = k.before
	}
}
