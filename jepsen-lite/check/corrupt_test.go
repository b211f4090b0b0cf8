package check

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/placement"
)

// spoiled is a world that is about to be made wrong.
type spoiled struct {
	t      *testing.T
	events []history.Event
	log    *replay.Timeline
	ops    []history.Op
}

// answer is the event that answers an operation.
func (s *spoiled) answer(op *history.Op) *history.Event {
	for i := range s.events {
		if e := &s.events[i]; e.OK != nil && e.OK.Op == op.Op || e.Fail != nil && e.Fail.Op == op.Op || e.Unknown != nil && e.Unknown.Op == op.Op {
			return e
		}
	}
	s.t.Fatalf("operation %d has no answer", op.Op)
	return nil
}

// blocks says whether an operation puts something on the block list.
func (s *spoiled) blocks(op uint64) bool {
	return slices.ContainsFunc(s.ops, func(x history.Op) bool { return x.Op == op && x.F == history.Block })
}

// blockedAt is the log index at which something was put on the block list.
func (s *spoiled) blockedAt() uint64 {
	return s.ops[slices.IndexFunc(s.ops, func(x history.Op) bool { return x.F == history.Block })].Answer.Read.Index
}

// lookedWhileBlocked is the log index of the state of which a look-up was answered before that was taken off the block list.
func (s *spoiled) lookedWhileBlocked() uint64 {
	return s.ops[slices.IndexFunc(s.ops, func(x history.Op) bool { return x.Identity == "cart/blocked" })].Answer.Read.Index
}

// placedWhileBlocked has somebody see, in the end, that what was on the block list was placed so many indexes after that.
func (s *spoiled) placedWhileBlocked(after uint64) {
	i := s.find(func(e *history.Event) bool { return e.Phase != nil && e.Phase.Name == history.PhaseTeardown })
	op := uint64(len(s.ops) + 1)
	call := history.Call{Op: op, Client: "late", F: history.Lookup, Identity: "cart/blocked", Level: history.Stale}
	a := history.Answer{Op: op, Phase: history.Settled, Member: "m1", Epoch: uint64(placement.MakeEpoch(0, s.blockedAt()+after, 0))}
	at := s.events[i].At
	s.events = slices.Insert(s.events, i, history.Event{At: at, Invoke: &call}, history.Event{At: at, OK: &a})
}

// find is the first event that is as wanted.
func (s *spoiled) find(want func(*history.Event) bool) int {
	i := slices.IndexFunc(s.events, func(e history.Event) bool { return want(&e) })
	if i < 0 {
		s.t.Fatal("the history has no such event")
	}
	return i
}

// usage is what a server has in use.
func (s *spoiled) usage(server string, final bool) *history.Usage {
	return s.events[s.find(func(e *history.Event) bool {
		return e.Usage != nil && e.Usage.Server == server && e.Usage.Final == final
	})].Usage
}

// restored is what was seen of a cluster that was restored.
func (s *spoiled) restored() *history.Restored {
	return s.events[s.find(func(e *history.Event) bool { return e.Restored != nil })].Restored
}

// each gives all pairs of operations about one identity that were answered with a settled placement, the earlier one first, until
// f says that it has what it needs.
func (s *spoiled) pairs(f func(a, b *history.Op) bool) {
	for i := range s.ops {
		for j := range s.ops[i+1:] {
			a, b := &s.ops[i], &s.ops[i+1+j]
			if a.Identity != "" && a.Identity == b.Identity && a.Outcome == history.OutcomeOK && b.Outcome == history.OutcomeOK && f(a, b) {
				return
			}
		}
	}
	s.t.Fatal("the history has no such operations")
}

func settledLookup(op *history.Op) bool {
	return op.F == history.Lookup && op.Answer.Phase == history.Settled && op.Answer.Read != nil && !op.Final
}

// holdPair gives two holds of one thing that follow each other.
func (s *spoiled) holdPair(lock bool) (a, b *history.Event) {
	for i := range s.events {
		for j := range s.events {
			x, y := s.events[i].Hold, s.events[j].Hold
			if x != nil && y != nil && x.Identity == y.Identity && x.Lock == y.Lock && (x.Lock != "") == lock && x.To < y.From && x.Epoch != y.Epoch && y.From < y.To {
				return &s.events[i], &s.events[j]
			}
		}
	}
	s.t.Fatal("the history has no two holds of one thing")
	return nil, nil
}

// streamEvents are the places of the events of stream 1.
func (s *spoiled) streamEvents() (at []int) {
	for i := range s.events {
		if w := s.events[i].Watch; w != nil && w.What == history.WatchEvent && w.Stream == 1 {
			at = append(at, i)
		}
	}
	return at
}

var corruptions = []struct {
	name string
	// want are the checkers that must refuse it, and no other may.
	want  string
	spoil func(s *spoiled)
}{
	{"a look-up sees a placement that was over", "order linearizable", func(s *spoiled) {
		s.pairs(func(a, b *history.Op) bool {
			if !settledLookup(a) || !settledLookup(b) || a.Answer.Epoch >= b.Answer.Epoch {
				return false
			}
			// Somebody saw the later epoch before this look-up asked.
			if !slices.ContainsFunc(s.ops, func(x history.Op) bool {
				return x.Identity == a.Identity && x.Outcome == history.OutcomeOK && x.Answer.Epoch == b.Answer.Epoch && x.Answer.Phase == history.Settled && x.End < b.Begin
			}) {
				return false
			}
			number := s.answer(b).OK.Op
			*s.answer(b).OK = a.Answer
			s.events[s.find(func(e *history.Event) bool { return e.OK != nil && e.OK.Op == a.Op && e.At == b.End })].OK.Op = number
			return true
		})
	}},
	{"a look-up sees an epoch that nobody made", "order linearizable log", func(s *spoiled) {
		s.pairs(func(a, b *history.Op) bool {
			if !settledLookup(a) || !settledLookup(b) || a.Answer.Epoch != b.Answer.Epoch || a.End >= b.Begin {
				return false
			}
			s.answer(a).OK.Epoch++
			return true
		})
	}},
	{"a look-up names another member", "fence log", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.OK != nil && e.OK.Phase == history.Settled && !e.OK.Created })
		s.events[i].OK.Member = "m9"
	}},
	{"a look-up sees nobody in the middle of a placement", "order linearizable log", func(s *spoiled) {
		s.pairs(func(a, b *history.Op) bool {
			if !settledLookup(a) || !settledLookup(b) || a.Answer.Epoch != b.Answer.Epoch || a.Answer.Read.Index >= b.Answer.Read.Index || a.End >= b.Begin {
				return false
			}
			*s.answer(a).OK = history.Answer{Op: a.Op, Phase: history.Absent, Read: &history.Proof{Server: "s1", Index: a.Answer.Read.Index}}
			return slices.ContainsFunc(s.ops, func(x history.Op) bool {
				return settledLookup(&x) && x.Identity == a.Identity && x.Answer.Epoch == a.Answer.Epoch && x.End < a.Begin
			})
		})
	}},
	{"a removal is acknowledged while the placement is still seen", "order linearizable", func(s *spoiled) {
		for i := range s.ops {
			r := &s.ops[i]
			if r.F != history.Remove || r.Outcome != history.OutcomeOK {
				continue
			}
			if slices.ContainsFunc(s.ops, func(x history.Op) bool {
				return settledLookup(&x) && x.Identity == r.Identity && x.Answer.Epoch == r.Answer.Epoch && x.Begin > r.Begin+1
			}) {
				s.answer(r).At = r.Begin + 1
				return
			}
		}
		s.t.Fatal("no look-up began during a removal")
	}},
	{"an answer is of an index at which it was not so", "log", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.OK != nil && e.OK.Phase == history.Settled })
		s.events[i].OK.Read.Index = 1
	}},
	{"a release is acknowledged at an index at which the lock is held", "log", func(s *spoiled) {
		i := slices.IndexFunc(s.ops, func(op history.Op) bool { return op.F == history.Release && op.Outcome == history.OutcomeOK })
		s.answer(&s.ops[i]).OK.Read.Index = 1
	}},
	{"a placement is gone in the end", "durable", func(s *spoiled) {
		killed := s.events[s.find(func(e *history.Event) bool { return e.Fault != nil })].Fault.Targets[0]
		for i := range s.ops {
			last := &s.ops[i]
			if !last.Final || last.Answer.Phase != history.Settled || last.Answer.Member == killed || slices.ContainsFunc(s.ops, func(x history.Op) bool {
				return x.Identity == last.Identity && x.F == history.Remove
			}) || !slices.ContainsFunc(s.ops, func(x history.Op) bool {
				return x.Identity == last.Identity && !x.Final && x.Answer.Phase == history.Settled
			}) {
				continue
			}
			for j := range s.ops {
				if x := &s.ops[j]; x.Final && x.Identity == last.Identity {
					*s.answer(x).OK = history.Answer{Op: x.Op, Phase: history.Absent}
				}
			}
			return
		}
		s.t.Fatal("every placement was removed")
	}},
	{"a server is not asked in the end", "durable progress", func(s *spoiled) {
		for i := range s.events {
			if c := s.events[i].Invoke; c != nil && c.Final && c.Server == "s3" {
				c.Server = "s2"
			}
		}
	}},
	{"two activations believe at once", "owner", func(s *spoiled) {
		a, b := s.holdPair(false)
		a.Hold.To = b.Hold.From + 1
	}},
	{"two holders of a lock believe at once", "lock", func(s *spoiled) {
		a, b := s.holdPair(true)
		a.Hold.To = b.Hold.From + 1
	}},
	{"a lock is granted before it is given up", "lock", func(s *spoiled) {
		for i := range s.ops {
			for j := range s.ops {
				a, b := &s.ops[i], &s.ops[j]
				if a.F == history.Acquire && b.F == history.Acquire && a.Lock == b.Lock && a.Outcome == history.OutcomeOK && b.Outcome == history.OutcomeOK && a.End < b.Begin-2 {
					gives := slices.IndexFunc(s.ops, func(x history.Op) bool {
						return x.F == history.Release && x.Token == a.Answer.Token && x.Begin > b.Begin+2
					})
					if gives >= 0 {
						s.answer(b).At = b.Begin + 1
						return
					}
				}
			}
		}
		s.t.Fatal("nobody waited for a lock")
	}},
	{"a write under an older token is accepted", "fence", func(s *spoiled) {
		var before *history.Write
		for i := range s.events {
			switch w := s.events[i].Write; {
			case w == nil:
			case before != nil && w.Resource == before.Resource && w.Token > before.Token:
				again := *before
				s.events = slices.Insert(s.events, i+1, history.Event{At: s.events[i].At, Write: &again})
				return
			case before == nil:
				before = w
			}
		}
		s.t.Fatal("no resource was written to under two tokens")
	}},
	{"one token has two holders", "fence", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Hold != nil })
		s.events[i].Hold.Member = "m9"
	}},
	{"a saved state differs", "export", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.OK != nil && e.OK.Hash != "" })
		call, answer := *s.events[s.find(func(e *history.Event) bool { return e.Invoke != nil && e.Invoke.Op == s.events[i].OK.Op })].Invoke, *s.events[i].OK
		call.Op, answer.Op, answer.Hash = 1<<40, 1<<40, "00"
		begin := s.events[s.find(func(e *history.Event) bool { return e.Invoke != nil && e.Invoke.Op == s.events[i].OK.Op })].At
		s.events = append(s.events, history.Event{At: begin, Invoke: &call}, history.Event{At: s.events[i].At, OK: &answer})
	}},
	{"a saved state is older than what was acknowledged", "export", func(s *spoiled) {
		var old *history.Answer
		for i := range s.events {
			a := s.events[i].OK
			if a == nil || a.Hash == "" {
				continue
			}
			if old != nil && a.Read.Index > old.Read.Index+20 {
				number := a.Op
				*a = *old
				a.Op = number
				return
			}
			if old == nil {
				old = a
			}
		}
		s.t.Fatal("there are no two saved states")
	}},
	{"a restored cluster lacks a placement", "restore", func(s *spoiled) { s.restored().Differs = []string{"cart/1 is absent"} }},
	{"a restored cluster is of the old generation", "restore", func(s *spoiled) { s.restored().To = s.restored().From }},
	{"a restored cluster makes an epoch that the old one had made", "restore", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.OK != nil && e.OK.Phase == history.Settled })
		s.restored().Epochs[1] = s.events[i].OK.Epoch
	}},
	{"a restored cluster places nothing", "restore", func(s *spoiled) { s.restored().Epochs = nil }},
	{"nothing was restored", "restore", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool { return e.Restored != nil })
	}},
	{"one server's digest differs", "replicas log", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Digest != nil && e.Digest.Final })
		s.events[i].Digest.Digest = "0"
	}},
	{"a server does not say its digest in the end", "replicas", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool { return e.Digest != nil && e.Digest.Final && e.Digest.Server == "s3" })
	}},
	{"a term has two leaders", "terms", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Server != nil && e.Server.Name == "s2" })
		s.events[i].Server.Role = "leader"
	}},
	{"two watch events are swapped", "watch", func(s *spoiled) {
		at := s.streamEvents()
		for n := 1; n < len(at); n++ {
			if a, b := &s.events[at[n-1]], &s.events[at[n]]; a.Watch.Index != b.Watch.Index && a.At == b.At {
				a.Watch, b.Watch = b.Watch, a.Watch
				return
			}
		}
		s.t.Fatal("no two events came together")
	}},
	{"a watch event is lost", "watch", func(s *spoiled) {
		at := s.streamEvents()
		s.events = slices.Delete(s.events, at[len(at)/2], at[len(at)/2]+1)
	}},
	{"the last watch event is lost", "watch", func(s *spoiled) {
		at := s.streamEvents()
		s.events = slices.Delete(s.events, at[len(at)-1], at[len(at)-1]+1)
	}},
	{"a watch event comes twice", "watch", func(s *spoiled) {
		at := s.streamEvents()
		s.events = slices.Insert(s.events, at[3]+1, s.events[at[3]])
	}},
	{"a watch event says another epoch", "watch", func(s *spoiled) {
		s.events[s.streamEvents()[2]].Watch.Epoch++
	}},
	{"a watch event that nothing made", "watch", func(s *spoiled) {
		at := s.streamEvents()[2]
		extra := *s.events[at].Watch
		extra.Identity = "cart/nowhere"
		s.events = slices.Insert(s.events, at+1, history.Event{At: s.events[at].At, Watch: &extra})
	}},
	{"a mark is too high, so that an index is split", "watch", func(s *spoiled) {
		at := s.streamEvents()
		for n := 1; n < len(at); n++ {
			if a, b := s.events[at[n-1]].Watch, s.events[at[n]].Watch; a.Index < b.Index {
				s.events = slices.Insert(s.events, at[n], history.Event{At: s.events[at[n-1]].At, Watch: &history.Watch{Stream: 1, What: history.WatchMark, Index: b.Index}})
				return
			}
		}
	}},
	{"a stream goes on at what it has sent", "watch", func(s *spoiled) {
		at := s.streamEvents()
		i := at[len(at)/2]
		s.events = slices.Insert(s.events, i, history.Event{At: s.events[i].At, Watch: &history.Watch{Stream: 1, What: history.WatchOpen, Index: s.events[i].Watch.Index}})
	}},
	{"a stream says what its filter does not let through", "watch", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool {
			return e.Watch != nil && e.Watch.Stream == 2 && e.Watch.What == history.WatchEvent
		})
		s.events[i].Watch.Identity = "cart/2"
	}},
	{"a snapshot in a stream lacks a placement", "watch", func(s *spoiled) {
		at := s.streamEvents()
		i := at[len(at)/2]
		index := s.events[i].Watch.Index - 1
		s.events = slices.Insert(s.events, i, history.Event{At: s.events[i].At, Watch: &history.Watch{Stream: 1, What: history.WatchReset, Index: index}})
	}},
	{"no stream says anything", "watch", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool { return e.Watch != nil && e.Watch.What != history.WatchOpen })
	}},
	{"a blocked identity is placed", "blocks watch", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Watch != nil && e.Watch.Type == replay.BlockRemoved })
		extra := *s.events[i].Watch
		extra.Type, extra.Member, extra.Epoch = replay.Placed, "m1", 1
		extra.Index--
		s.events = slices.Insert(s.events, i, history.Event{At: s.events[i].At, Watch: &extra})
	}},
	{"no stream tells of a block", "blocks watch", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool { return e.Watch != nil && e.Watch.Type == replay.BlockAdded })
	}},
	{"no block is seen at all", "blocks watch", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool {
			return e.Watch != nil && (e.Watch.Type == replay.BlockAdded || e.Watch.Type == replay.RetryThrottled) || e.OK != nil && s.blocks(e.OK.Op)
		})
	}},
	{"an identity was placed after its block was acknowledged", "blocks", func(s *spoiled) { s.placedWhileBlocked(1) }},
	{"an identity was placed at the last index that was seen before it was taken off the block list", "blocks", func(s *spoiled) {
		s.placedWhileBlocked(s.lookedWhileBlocked() - s.blockedAt())
	}},
	{"what a snapshot in a stream has on the block list is placed", "blocks", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool {
			return e.Watch != nil && e.Watch.Type == replay.Placed && e.Watch.Stream == 1 && e.Watch.Index > 20
		})
		w := s.events[i].Watch
		entry := history.Watch{Stream: 1, What: history.WatchEntry, Type: replay.BlockAdded, Identity: w.Identity, Index: w.Index - 1}
		s.events = slices.Insert(s.events, i, history.Event{At: s.events[i].At, Watch: &entry})
	}},
	{"a retry that is held back is not told", "watch", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Watch != nil && e.Watch.Type == replay.RetryThrottled })
		s.events = slices.Delete(s.events, i, i+1)
	}},
	{"a retry is held back before its block", "blocks", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Watch != nil && e.Watch.Type == replay.RetryThrottled })
		s.events[i], s.events[i-1] = s.events[i-1], s.events[i]
	}},
	{"a retry is held back that an operator blocks", "watch", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool {
			return e.Watch != nil && e.Watch.Type == replay.BlockAdded && e.Watch.Identity == "cart/blocked"
		})
		extra := *s.events[i].Watch
		extra.Type, extra.Member, extra.Incarnation, extra.Epoch = replay.RetryThrottled, "m1", 1, 1
		s.events = slices.Insert(s.events, i+1, history.Event{At: s.events[i].At, Watch: &extra})
	}},
	{"another crash than the last one is said to hold back", "watch", func(s *spoiled) {
		i := s.find(func(e *history.Event) bool { return e.Watch != nil && e.Watch.Type == replay.RetryThrottled })
		s.events[i].Watch.Epoch--
	}},
	{"a refused request was carried out", "requests", func(s *spoiled) {
		i := slices.IndexFunc(s.ops, func(op history.Op) bool { return op.F == history.Release && op.Outcome == history.OutcomeOK })
		e := s.answer(&s.ops[i])
		*e = history.Event{At: e.At, Fail: &history.Answer{Op: s.ops[i].Op, Reason: "NO_LEADER"}}
	}},
	{"a request was carried out twice", "requests", func(s *spoiled) {
		i := slices.IndexFunc(s.ops, func(op history.Op) bool { return len(s.log.Requests[op.Request]) == 1 })
		s.log.Requests[s.ops[i].Request] = append(s.log.Requests[s.ops[i].Request], replay.Carried{Index: 7})
	}},
	{"an identity is given an owner for a request that nobody made", "requests", func(s *spoiled) {
		i := slices.IndexFunc(s.ops, func(op history.Op) bool { return op.F == history.Place })
		s.log.Requests["01ARZ3NDEKTSV4RRFFQ69G5FAV"] = []replay.Carried{{Index: 7, Placed: s.ops[i].Identity}}
	}},
	{"nothing is placed for long after everything healed", "progress", func(s *spoiled) {
		last := slices.IndexFunc(s.ops, func(op history.Op) bool { return op.Client == "last" && op.F == history.Place })
		s.answer(&s.ops[last]).At += 11e9
	}},
	{"a server does not answer after everything healed", "progress durable", func(s *spoiled) {
		for i := range s.events {
			if c := s.events[i].Invoke; c != nil && c.Final && c.Server == "s3" {
				c.Server = "s2"
			}
		}
		s.events[len(s.events)-1].At += 11e9
	}},
	{"nothing is acknowledged for a while without a fault", "progress", func(s *spoiled) { s.events[0].Run.Bounds.Gap = 1 }},
	{"a process crashes", "processes", func(s *spoiled) {
		s.events = append(s.events, history.Event{At: 9, Process: &history.Process{Name: "s1", Kind: "server", What: history.ProcessCrash, Status: "panic"}})
	}},
	{"a process is left behind", "processes", func(s *spoiled) {
		s.events[s.find(func(e *history.Event) bool { return e.Leaks != nil })].Leaks.Processes = 1
	}},
	{"a mount is left behind", "processes", func(s *spoiled) {
		s.events[s.find(func(e *history.Event) bool { return e.Leaks != nil })].Leaks.Mounts = 1
	}},
	{"a server that does not lead has more goroutines than the leader had", "processes", func(s *spoiled) {
		s.usage("s2", true).Goroutines = 111
	}},
	{"a server has more file descriptors", "processes", func(s *spoiled) { s.usage("s1", true).Descriptors = 36 }},
	{"nobody looks at what a server has in use in the end", "processes", func(s *spoiled) { s.usage("s3", true).Server = "s2" }},
	{"nobody looks at what servers have in use in the beginning", "processes", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool { return e.Usage != nil && !e.Usage.Final })
		s.events[0].Run.Bounds.Goroutines, s.events[0].Run.Bounds.Descriptors = 1000, 1000
	}},
	{"nobody looks for what is left behind", "processes", func(s *spoiled) {
		s.events = slices.DeleteFunc(s.events, func(e history.Event) bool { return e.Leaks != nil })
	}},
	{"the run is broken off", "run", func(s *spoiled) { s.events = s.events[:len(s.events)-1] }},
	{"the test itself fails", "run", func(s *spoiled) { s.events[len(s.events)-1].End.Error = "no space left" }},
}

// Each edit of a history that is right is refused by the checkers that are named, and by no other.
func TestRun_CorruptedHistory_NamedCheckersRefuse(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range corruptions {
		t.Run(tt.name, func(t *testing.T) {
			w := checktest.Make(checktest.Config{Seed: 5, Ops: 900, Clients: 6, Identities: 60, Kills: 1})
			h, err := history.FromEvents(w.Events)
			if err != nil {
				t.Fatal(err)
			}
			timeline, err := replay.Replay(w.Log, nil, uint64(len(w.Log)))
			if err != nil {
				t.Fatal(err)
			}
			s := &spoiled{t: t, events: w.Events, log: timeline, ops: h.Ops}
			tt.spoil(s)
			slices.SortStableFunc(s.events, func(a, b history.Event) int { return int(min(1, max(-1, a.At-b.At))) })
			if h, err = history.FromEvents(s.events); err != nil {
				t.Fatal(err)
			}
			r := Run(h, Options{Log: timeline, Search: time.Minute})
			want := strings.Fields(tt.want)
			for _, x := range r.Checkers {
				refused := x.Valid == False || x.Valid == Unknown
				if refused != slices.Contains(want, x.Checker) {
					t.Errorf("%s says %s: %s %s %v", x.Checker, x.Valid, x.Subject, x.Why, x.Ops)
				}
				if refused {
					seen[x.Checker] = true
					t.Logf("%s: %s: %s %v", x.Checker, x.Subject, x.Why, x.Ops)
				}
			}
			if r.Passed || r.Valid == True {
				t.Errorf("the history passed: %s", r.Valid)
			}
		})
	}
	for _, name := range Names() {
		if !seen[name] {
			t.Errorf("no corrupted history is refused by %s", name)
		}
	}
}
