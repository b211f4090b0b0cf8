package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Path is how a look-up was answered, or why not under a lease.
type Path uint8

// The paths. NoLease to NotSettled come before ByLeader, of the same look-up.
const (
	// ByLease: under this server's read lease, and by nobody else.
	ByLease Path = iota
	// ByLeader: behind a proof of leadership.
	ByLeader
	// ByStale: from what was published.
	ByStale
	// NoLease: the server had no lease that serves its state.
	NoLease
	// NotSettled: what is not settled is not answered under a lease.
	NotSettled
)

// question is what a look-up asks for.
type question struct {
	level        apiv1.Level_Name
	maxStaleness time.Duration
	minIndex     uint64
}

// questioned is a request with a level.
type questioned interface {
	GetLevel() apiv1.Level_Name
	GetMaxStaleness() *durationpb.Duration
	GetMinIndex() uint64
}

func questionOf(req questioned) (question, error) {
	q := question{level: req.GetLevel(), minIndex: req.GetMinIndex()}
	switch q.level {
	case apiv1.Level_UNSPECIFIED:
		q.level = apiv1.Level_LEASED
	case apiv1.Level_LEASED, apiv1.Level_LEADER, apiv1.Level_STALE:
	default:
		return q, invalid("level %d: there are LEASED, LEADER and STALE", q.level)
	}
	if d := req.GetMaxStaleness(); d != nil {
		if q.level != apiv1.Level_STALE {
			return q, invalid("a maximal staleness is for the level STALE alone: the others are never stale")
		}
		if !d.IsValid() || d.AsDuration() < 0 {
			return q, invalid("maximal staleness %v: it is a duration that is not negative", d)
		}
		q.maxStaleness = d.AsDuration()
	}
	return q, nil
}

// answer is a state that may answer a look-up, and by what right.
type answer struct {
	view  *snapshot.View
	level apiv1.Level_Name
	lease *group.ReadLease // of LEASED
	now   lease.Instant    // when the clock was read for it
	age   time.Duration    // of STALE, when aged
	aged  bool
}

// read finds a state that may answer, and has f look into it. f says whether everything that is asked for is settled there:
// under a lease nothing else is answered (H3), so f is called again with a state that the leader has proved.
func (s *Server) read(ctx context.Context, q question, f func(v *snapshot.View) (settled bool)) (answer, error) {
	switch q.level {
	case apiv1.Level_STALE:
		a, err := s.stale(ctx, q)
		if err == nil {
			s.backend.Looked(ByStale)
			f(a.view)
		}
		return a, err
	case apiv1.Level_LEASED:
		// The state is loaded first, then the lease, then the clock.
		v, l, now := s.backend.Leased()
		switch {
		case l == nil:
			s.missed(ctx, NoLease, "no_lease")
		case v.Index < q.minIndex: // it may come
		case !f(v):
			s.missed(ctx, NotSettled, "not_settled")
		default:
			s.backend.Looked(ByLease)
			return answer{view: v, level: apiv1.Level_LEASED, lease: l, now: now}, nil
		}
	}
	v, err := s.readView(ctx)
	if err != nil {
		return answer{}, s.readError(ctx, err)
	}
	if v, err = s.atLeast(ctx, v, q.minIndex); err != nil {
		return answer{}, err
	}
	s.backend.Looked(ByLeader)
	f(v)
	return answer{view: v, level: apiv1.Level_LEADER}, nil
}

// indexPatience is how long a look-up waits for a log index that it names: for as long as a server may be behind that is not
// cut off. Not longer: an index that somebody was shown is committed, and whoever makes one up would hold a place until its
// deadline.
const indexPatience = 300 * time.Millisecond

// atLeast waits a moment for a state that has an index.
func (s *Server) atLeast(ctx context.Context, v *snapshot.View, index uint64) (*snapshot.View, error) {
	if v.Index >= index {
		return v, nil
	}
	g, err := s.group()
	if err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeout(ctx, indexPatience)
	defer cancel()
	newer, err := g.AwaitIndex(soon, index)
	switch {
	case err == nil:
		return newer, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fail(apiv1.ReasonTooStale, nil, "%s is at index %d, and %d was asked for", s.backend.Self().Name, g.View().Index, index)
	}
	return nil, asStatus(err)
}

// stale finds what is published here, and how old it may be. When that is older than allowed, or not known, the leader is asked:
// an idle cluster proves nothing by itself.
func (s *Server) stale(ctx context.Context, q question) (answer, error) {
	g, err := s.group()
	if err != nil {
		return answer{}, err
	}
	v, err := s.atLeast(ctx, g.View(), q.minIndex)
	if err != nil {
		return answer{}, err
	}
	a := answer{view: v, level: apiv1.Level_STALE}
	a.age, a.aged = g.Age(v)
	if q.maxStaleness == 0 || a.aged && a.age <= q.maxStaleness {
		return a, nil
	}
	fresh, err := s.readView(ctx)
	if err == nil {
		if a.view, err = s.atLeast(ctx, fresh, q.minIndex); err != nil {
			return answer{}, err
		}
		if a.age, a.aged = g.Age(a.view); a.aged && a.age <= q.maxStaleness {
			return a, nil
		}
	}
	if ctx.Err() == context.Canceled {
		return answer{}, asStatus(context.Canceled)
	}
	age := "of unknown age"
	if a.aged {
		age = a.age.Round(time.Millisecond).String() + " old"
	}
	return answer{}, fail(apiv1.ReasonTooStale, nil, "the state of %s is %s, %v was allowed, and the leader does not prove a newer one", s.backend.Self().Name, age, q.maxStaleness)
}

// prove is what an answer to a look-up says of itself.
func (s *Server) prove(ctx context.Context, a answer) *apiv1.Read {
	r := s.proof(ctx, a.view)
	r.Level = a.level
	if l := a.lease; l != nil {
		r.Floor, r.GrantedBy, r.GrantedTerm, r.LeaseLeft = l.Floor, l.By, l.Term, durationpb.New(l.Left(a.now))
	}
	if a.aged {
		r.Age = durationpb.New(a.age)
	}
	return r
}

// holdMessage is what keeps the barrier back; nil on a server that does not lead.
func holdMessage(g *group.Group, v *snapshot.View) *apiv1.Hold {
	t := g.Tenure()
	if t == nil {
		return nil
	}
	h := t.Hold(v)
	m := &apiv1.Hold{Server: h.Server, Index: h.Index, Holders: uint32(h.Holders)}
	for _, d := range []struct {
		value time.Duration
		to    **durationpb.Duration
	}{{h.Left, &m.Left}, {h.Waited, &m.Waited}, {h.Former, &m.Former}} {
		if d.value > 0 {
			*d.to = durationpb.New(d.value)
		}
	}
	return m
}
