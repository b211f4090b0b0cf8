package sim

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
	"github.com/seed13d31b7f/berth/placement"
)

const (
	// identities are in use at once, and for so long; then there are others. Few, so that clients meet at them. Some are kept: for twice
	// as long, and nobody asks to remove them or, but for Gather, to move them. What ends them is the end of their owner's lease alone,
	// and while a new leader completes no removal they are what members have.
	identities, kept = 6, 3
	useFor           = 15 * time.Second
	// thinking is how long a client waits between two calls, at most; when everything has healed, so many times as long: then it is to
	// be seen that all goes on, and no more.
	thinking = 200 * time.Millisecond
	calm     = 8
)

// identity is one of those in use at a moment. All are of the kind that members activate.
func identity(at time.Duration, n int) placement.Identity {
	if n < kept {
		return placement.Identity{Kind: kinds[0], Key: fmt.Sprintf("kept-%d-%d", at/(2*useFor), n)}
	}
	return placement.Identity{Kind: kinds[0], Key: fmt.Sprintf("%d-%d", at/useFor, n)}
}

// fleeting is an identity that is in use for a second, and settled when it is placed: whenever two servers believe to lead, one of
// them is asked to place what nobody has placed before.
func fleeting(at time.Duration) placement.Identity {
	return placement.Identity{Kind: kinds[1], Key: fmt.Sprint("second-", int(at/time.Second))}
}

// caller is a client at work.
type caller struct {
	w      *world
	name   string
	host   string
	client *lookupclient.Client
	server string // the one that it asks, empty for any
	random *rand.Rand
	index  uint64                        // the newest that it saw
	seen   map[placement.Identity]uint64 // the epochs that it saw last
}

// caller makes a client on a host, of all servers or of one.
func (w *world) caller(name, host, server string) *caller {
	c := &caller{w: w, name: name, host: host, server: server, random: w.random(name), seen: map[placement.Identity]uint64{}}
	if server == "" {
		c.client = w.client(host)
	} else {
		c.client = w.client(host, server)
	}
	return c
}

// api is the client's, below what the library makes of it.
func (c *caller) api() apiv1.PlacementsClient { return apiv1.NewPlacementsClient(c.client.Conn()) }

// below draws a time.
func (c *caller) below(d time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(d)))
}

// current draws one of the identities that are in use.
func (c *caller) current() placement.Identity { return c.draw(0) }

// changing draws one that is not kept.
func (c *caller) changing() placement.Identity { return c.draw(kept) }

func (c *caller) draw(from int) placement.Identity {
	at := min(time.Duration(c.w.journal.now()), c.w.Length-1)
	if c.random.IntN(4) == 0 {
		return fleeting(at)
	}
	return identity(at, from+c.random.IntN(identities-from))
}

// work places, looks up, moves and removes until the context ends.
func (c *caller) work(ctx context.Context) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, time.Second+c.below(5*time.Second))
		switch n := c.random.IntN(20); {
		case n < 8:
			_ = c.lookup(call, c.current(), false)
		case n < 15:
			_ = c.place(call, c.current())
		case n < 17:
			c.move(call, c.changing(), fmt.Sprint("m", c.random.IntN(c.w.Members)+1))
		default:
			c.remove(call, c.changing())
		}
		cancel()
		c.think()
	}
}

// think waits until the caller's next call.
func (c *caller) think() {
	most := thinking
	if c.w.healed.Load() {
		most *= calm
	}
	time.Sleep(c.below(most))
}

// patience is how long a reader waits for an answer, at most. Not longer: a server that is cut off answers at once what it may
// answer by itself, and the rest not at all.
const patience = 200 * time.Millisecond

// read looks up until the context ends.
func (c *caller) read(ctx context.Context) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 10*time.Millisecond+c.below(patience))
		_ = c.lookup(call, c.current(), false)
		cancel()
		c.think()
	}
}

// answered notes an answer, and what it says of the state that it is of.
func (c *caller) answered(a *history.Answer, read *apiv1.Read) {
	if read != nil {
		c.index = max(c.index, read.Index)
		a.Read = &history.Proof{Server: read.ServedBy, Level: strings.ToLower(read.Level.String()), Index: read.Index}
	}
	c.w.journal.Record(history.Event{OK: a})
}

// settled is an answer that names an owner.
func settled(op uint64, p *apiv1.Placement) *history.Answer {
	return &history.Answer{Op: op, Phase: history.Settled, Member: p.GetMember(), Epoch: p.GetEpoch()}
}

// failed is the answer of an operation with an error.
func failed(op uint64, err error) *history.Answer {
	a := &history.Answer{Op: op, Message: err.Error()}
	var e *lookupclient.Error
	if errors.As(err, &e) {
		a.Reason = string(e.Reason)
	}
	return a
}

// lookup asks for a batch of one, whose answer says also of an absence which state it is of.
func (c *caller) lookup(ctx context.Context, id placement.Identity, final bool) error {
	op := c.w.journal.Invoke(history.Call{Client: c.name, F: history.Lookup, Identity: id.String(), Server: c.server, Final: final})
	resp, err := c.api().BatchLookup(ctx, &apiv1.BatchLookupRequest{Identities: []*apiv1.Identity{{Kind: id.Kind, Key: id.Key}}})
	if err == nil && len(resp.Results) != 1 {
		err = fmt.Errorf("a batch of one has %d results", len(resp.Results))
	}
	if err != nil {
		c.w.journal.Record(history.Event{Fail: failed(op, err)})
		return err
	}
	switch r := resp.Results[0]; {
	case r.Error == nil:
		c.seen[id] = r.Placement.Epoch
		c.answered(settled(op, r.Placement), resp.Read)
	case r.Error.Reason == string(apiv1.ReasonNotPlaced):
		c.answered(&history.Answer{Op: op, Phase: history.Absent}, resp.Read)
	default:
		err = errors.New(r.Error.Message)
		c.w.journal.Record(history.Event{Fail: &history.Answer{Op: op, Reason: r.Error.Reason, Message: r.Error.Message}})
	}
	return err
}

// request names a change.
func (c *caller) request() *apiv1.Retry {
	return &apiv1.Retry{RequestId: ulid.Make().String(), KnownIndex: c.index}
}

// again asks for a change until its outcome is known or the context ends. One who is impatient breaks each try off after a while,
// and asks for the same once more, perhaps much later.
func (c *caller) again(ctx context.Context, retry *apiv1.Retry, try func(ctx context.Context) error) error {
	impatient := c.random.IntN(3) == 0
	var open error // why the outcome of a try is not known
	for {
		one, cancel := ctx, context.CancelFunc(func() {})
		if impatient {
			one, cancel = context.WithTimeout(ctx, 10*time.Millisecond+c.below(400*time.Millisecond))
		}
		err := try(one)
		cancel()
		switch {
		case err == nil:
			return nil
		case unknown(err):
			open = err
		case open != nil && refused(err): // this try was; another one may have been carried out
			return open
		default:
			return err
		}
		select {
		case <-time.After(c.below([]time.Duration{100 * time.Millisecond, 3 * time.Second}[c.random.IntN(2)])):
		case <-ctx.Done():
			return err
		}
		retry.Again = true
	}
}

// unknown says whether an error leaves it open whether anything was changed: all do that have no reason, such as that of a
// context, or that of an outcome that is not known.
func unknown(err error) bool {
	var e *lookupclient.Error
	return !errors.As(err, &e) || e.Reason == apiv1.ReasonOutcomeUnknown
}

func (c *caller) place(ctx context.Context, id placement.Identity) error {
	retry := c.request()
	op := c.w.journal.Invoke(history.Call{Client: c.name, F: history.Place, Identity: id.String(), Request: retry.RequestId})
	var resp *apiv1.PlaceResponse
	err := c.again(ctx, retry, func(ctx context.Context) (err error) {
		resp, err = c.api().Place(ctx, &apiv1.PlaceRequest{Kind: id.Kind, Key: id.Key, Retry: retry})
		return err
	})
	switch {
	case err == nil:
		c.seen[id] = resp.Placement.GetEpoch()
		a := settled(op, resp.Placement)
		a.Created = resp.Created
		c.answered(a, resp.Read)
	case refused(err):
		c.w.journal.Record(history.Event{Fail: failed(op, err)})
	default:
		c.w.journal.Record(history.Event{Unknown: failed(op, err)})
	}
	return err
}

// refused says whether an error means that nothing was changed. What was placed and was not settled yet may be later.
func refused(err error) bool {
	return errors.Is(err, lookupclient.ErrUnavailable) || errors.Is(err, lookupclient.ErrOverloaded) || errors.Is(err, lookupclient.ErrInvalid)
}

// remove ends whatever placement there is, or the one that the caller saw last. Whatever ended is named in the history, if the caller knows it.
func (c *caller) remove(ctx context.Context, id placement.Identity) {
	retry, epoch := c.request(), uint64(0)
	if c.random.IntN(2) == 0 {
		epoch = c.seen[id]
	}
	op := c.w.journal.Invoke(history.Call{Client: c.name, F: history.Remove, Identity: id.String(), Request: retry.RequestId, Epoch: epoch})
	var resp *apiv1.RemoveResponse
	err := c.again(ctx, retry, func(ctx context.Context) (err error) {
		resp, err = c.api().Remove(ctx, &apiv1.RemoveRequest{Kind: id.Kind, Key: id.Key, Epoch: epoch, Retry: retry, Wait: durationpb.New(time.Second)})
		return err
	})
	first := err
	if err == nil && !resp.Done {
		err = errors.New("it was asked for, and goes on")
		if e := resp.GetPlacement().GetEpoch(); e != 0 {
			epoch = e
			err = c.client.Remove(ctx, id, placement.Epoch(e), nil)
		}
	}
	switch over := errors.Is(err, lookupclient.ErrNotPlaced) || errors.Is(err, lookupclient.ErrFenced); {
	case err == nil, over && first == nil:
		c.w.journal.Record(history.Event{OK: &history.Answer{Op: op, Phase: history.Absent, Epoch: epoch}})
	case over: // nothing is said of when it ended
		c.w.journal.Record(history.Event{OK: &history.Answer{Op: op, Phase: history.Absent}})
	case refused(first):
		c.w.journal.Record(history.Event{Fail: failed(op, err)})
	default: // it may have been asked for
		c.w.journal.Record(history.Event{Unknown: failed(op, err)})
	}
}

// move has a member own the identity.
func (c *caller) move(ctx context.Context, id placement.Identity, to string) {
	op := c.w.journal.Invoke(history.Call{Client: c.name, F: history.Move, Identity: id.String(), To: to})
	p, err := c.client.Move(ctx, lookupclient.MoveRequest{Identity: id, To: placement.MemberID(to)})
	if err != nil {
		c.w.journal.Record(history.Event{Unknown: failed(op, err)})
		return
	}
	c.index = max(c.index, p.Index)
	c.w.journal.Record(history.Event{OK: &history.Answer{
		Op: op, Phase: history.Settled, Member: string(p.Member), Epoch: uint64(p.Epoch),
		Read: &history.Proof{Server: p.ServedBy, Level: []string{history.Leased, history.Leader, history.Stale}[p.Level], Index: p.Index},
	}})
}

// transfer hands the leadership over, to the server that is named first, or to any.
func (c *caller) transfer(to ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = apiv1.NewClusterClient(c.client.Conn()).TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{To: strings.Join(to, "")})
}
