package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// asker is one client. What belongs to it belongs to its goroutine.
type asker struct {
	*Clients
	name   string
	lives  int
	server string // the one that it asks; empty when it asks any
	pool   identities
	client *lookupclient.Client
	api    apiv1.PlacementsClient
	rng    *rand.Rand
	f      history.F         // the operation that was begun last
	round  int               // and when
	index  uint64            // the newest that it saw
	seen   map[string]uint64 // the newest epoch that it saw, by key
}

// The time that operations may take. A change may have to wait for the lease of a member that is dead.
const (
	lookupTimeout = 1500 * time.Millisecond
	changeTimeout = 4 * time.Second
)

func (a *asker) run(ctx context.Context) {
	for ctx.Err() == nil {
		key := a.pool.take(a.rng.IntN)
		// An operation that has begun is not broken off by the end of the run: its outcome would be unknown.
		op := context.WithoutCancel(ctx)
		switch a.next() {
		case history.Lookup:
			a.lookup(op, key)
		case history.Place:
			a.place(op, key)
		case history.Remove:
			a.remove(op, key)
		case history.Move:
			a.move(op, key, a.config.Members[a.rng.IntN(len(a.config.Members))])
		}
		pause(ctx, time.Duration(a.rng.ExpFloat64()*float64(a.config.Every)))
	}
}

// next draws what to do. Every other operation is one that is owed, while any is.
func (a *asker) next() history.F {
	n := a.rng.IntN(100)
	if owed := a.coverage.rest(); len(owed) > 0 && n%2 == 0 {
		return owed[a.rng.IntN(len(owed))]
	}
	switch {
	case n < 55:
		return history.Lookup
	case n < 83:
		return history.Place
	case n < 95:
		return history.Remove
	}
	return history.Move
}

// invoke records the beginning of an operation.
func (a *asker) invoke(f history.F, key string, c history.Call) uint64 {
	c.Client, c.F, c.Identity, c.Server = a.name, f, a.config.Kind+"/"+key, a.server
	if a.lives > 0 {
		c.Client = fmt.Sprintf("%s-%d", a.name, a.lives)
	}
	a.asked.Add(1)
	a.f, a.round = f, a.coverage.now()
	return a.config.Recorder.Invoke(c)
}

// fail records how an operation failed. After an unknown outcome the client goes on under another name, since that
// operation may not be over.
func (a *asker) fail(op uint64, err error, changes bool) {
	answer, unknown := answerOf(op, err)
	if unknown && changes {
		a.lives++
		a.config.Recorder.Unknown(answer)
		return
	}
	a.config.Recorder.Fail(answer)
}

// ok records an answer.
func (a *asker) ok(key string, answer history.Answer, read *apiv1.Read) {
	if read != nil {
		a.index = max(a.index, read.Index)
		answer.Read = readOf(read)
	}
	if answer.Epoch > 0 {
		a.seen[key] = answer.Epoch
	}
	a.done.Add(1)
	a.coverage.ok(a.f, a.round)
	a.config.Recorder.OK(answer)
}

func readOf(r *apiv1.Read) *history.Proof {
	return &history.Proof{Server: r.ServedBy, Role: strings.ToLower(r.Role.String()), Level: strings.ToLower(r.Level.String()), Term: r.Term, Index: r.Index}
}

// settled is an answer that names an owner.
func settled(op uint64, p *apiv1.Placement) history.Answer {
	return history.Answer{Op: op, Phase: history.Settled, Member: p.GetMember(), Incarnation: p.GetIncarnation(), Epoch: p.GetEpoch()}
}

// lookup asks who owns an identity, one time of three the leader.
func (a *asker) lookup(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	level, word := apiv1.Level_LEASED, history.Leased
	if a.rng.IntN(3) == 0 {
		level, word = apiv1.Level_LEADER, history.Leader
	}
	a.lookupAt(ctx, key, level, word)
}

// lookupAt asks at a level, and records word as the level. Half of the calls are for a batch of one: its answer has a proof also when
// there is no owner.
func (a *asker) lookupAt(ctx context.Context, key string, level apiv1.Level_Name, word string) {
	if a.config.Stale {
		level = apiv1.Level_STALE
	}
	op := a.invoke(history.Lookup, key, history.Call{Level: word})
	if a.rng.IntN(2) == 0 {
		a.lookupBatch(ctx, op, key, level)
		return
	}
	resp, err := a.api.Lookup(ctx, &apiv1.LookupRequest{Kind: a.config.Kind, Key: key, Level: level})
	switch {
	case errors.Is(err, lookupclient.ErrNotPlaced):
		a.ok(key, history.Answer{Op: op, Phase: history.Absent}, nil)
	case err != nil:
		a.fail(op, err, false)
	default:
		a.ok(key, settled(op, resp.Placement), resp.Read)
	}
}

func (a *asker) lookupBatch(ctx context.Context, op uint64, key string, level apiv1.Level_Name) {
	resp, err := a.api.BatchLookup(ctx, &apiv1.BatchLookupRequest{Identities: []*apiv1.Identity{{Kind: a.config.Kind, Key: key}}, Level: level})
	if err != nil {
		a.fail(op, err, false)
		return
	}
	answer, err := resultOf(op, resp.Results)
	if err != nil {
		a.config.Recorder.Fail(history.Answer{Op: op, Message: shorten(err.Error())})
		return
	}
	a.ok(key, answer, resp.Read)
}

// resultOf is the answer in a batch of one.
func resultOf(op uint64, results []*apiv1.LookupResult) (history.Answer, error) {
	if len(results) != 1 {
		return history.Answer{}, fmt.Errorf("a batch of one has %d results", len(results))
	}
	switch r := results[0]; {
	case r.Error == nil:
		return settled(op, r.Placement), nil
	case r.Error.Reason == string(apiv1.ReasonNotPlaced):
		return history.Answer{Op: op, Phase: history.Absent}, nil
	case r.Error.Reason == string(apiv1.ReasonUnsettled):
		return history.Answer{Op: op, Phase: history.Unsettled}, nil
	default:
		return history.Answer{}, fmt.Errorf("%s %s", r.Error.Reason, r.Error.Message)
	}
}

// retry names a change.
func (a *asker) retry() *apiv1.Retry {
	return &apiv1.Retry{RequestId: ulid.Make().String(), KnownIndex: a.index}
}

// place has somebody own the identity, and returns who does; empty when it is not known.
func (a *asker) place(ctx context.Context, key string) string {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	retry := a.retry()
	op := a.invoke(history.Place, key, history.Call{Request: retry.RequestId})
	resp, err := a.api.Place(ctx, &apiv1.PlaceRequest{Kind: a.config.Kind, Key: key, Retry: retry})
	if err != nil {
		a.fail(op, err, true)
		return ""
	}
	answer := settled(op, resp.Placement)
	answer.Created = resp.Created
	a.ok(key, answer, resp.Read)
	return answer.Member
}

// removeWait is how long one call for a removal waits.
const removeWait = time.Second

// remove ends a placement: the newest one that the client saw, or whatever is there.
func (a *asker) remove(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	epoch := a.seen[key]
	if a.rng.IntN(2) == 0 {
		epoch = 0
	}
	retry := a.retry()
	op := a.invoke(history.Remove, key, history.Call{Request: retry.RequestId, Epoch: epoch})
	for first := true; ; first = false {
		resp, err := a.api.Remove(ctx, &apiv1.RemoveRequest{Kind: a.config.Kind, Key: key, Epoch: epoch, Retry: retry, Wait: durationpb.New(removeWait)})
		switch {
		case err != nil && !first && (errors.Is(err, lookupclient.ErrNotPlaced) || errors.Is(err, lookupclient.ErrFenced)):
			a.ok("", history.Answer{Op: op, Phase: history.Absent, Epoch: epoch}, nil) // it came about between two calls
			return
		case err != nil && !first:
			a.fail(op, fmt.Errorf("it was asked for, and goes on: %s", err), true)
			return
		case err != nil:
			a.fail(op, err, true)
			return
		case resp.Done:
			a.ok("", history.Answer{Op: op, Phase: history.Absent, Epoch: epoch}, resp.Read)
			return
		case ctx.Err() != nil:
			a.fail(op, errors.New("it was asked for, and goes on"), true)
			return
		}
		if e := resp.Placement.GetEpoch(); e != 0 {
			epoch = e // not whatever is placed there later
		}
		retry = a.retry()
	}
}

// move has a member own the identity.
func (a *asker) move(ctx context.Context, key, to string) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	retry := a.retry()
	op := a.invoke(history.Move, key, history.Call{Request: retry.RequestId, To: to})
	for first := true; ; first = false {
		resp, err := a.api.Move(ctx, &apiv1.MoveRequest{Kind: a.config.Kind, Key: key, To: to, Retry: retry, Wait: durationpb.New(removeWait)})
		switch {
		case err != nil && !first:
			a.fail(op, fmt.Errorf("it was asked for, and goes on: %s", err), true)
			return
		case err != nil:
			a.fail(op, err, true)
			return
		case resp.Done:
			a.ok(key, settled(op, resp.Placement), resp.Read)
			return
		case ctx.Err() != nil:
			a.fail(op, errors.New("it was asked for, and goes on"), true)
			return
		}
		retry = a.retry()
	}
}
