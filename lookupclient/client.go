package lookupclient

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// BatchMax is the number of identities that LookupAll and PlaceAll send in one call; longer lists take several.
const BatchMax = 1000

// Client asks a cluster who owns what, and has identities placed and removed. It is safe for concurrent use.
type Client struct {
	conn *Conn
	api  apiv1.PlacementsClient
	kept *remembering // nil without a cache
}

// Open returns a client. It connects when it is first used. Errors are those of Config.Validate.
func Open(c Config) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	conn, err := newConn(c.withDefaults())
	if err != nil {
		return nil, err
	}
	client := &Client{conn: conn, api: apiv1.NewPlacementsClient(conn)}
	if c.Cache > 0 {
		client.kept = newRemembering(client, c.Cache)
	}
	return client, nil
}

// Conn is the client's connection, for the parts of the API that have no method here.
func (c *Client) Conn() *Conn { return c.conn }

// Close closes the client. Calls that are on their way fail, and later ones with ErrClosed. Members that it has joined go on, and are
// closed by themselves.
func (c *Client) Close() error {
	err := c.conn.Close()
	if c.kept != nil {
		c.kept.close()
	}
	return err
}

// Placement is who owns an identity, as an answer of the cluster has it.
type Placement struct {
	Identity placement.Identity
	// Phase is Settled in every answer of Lookup and Place.
	Phase placement.Phase
	// Member owns the identity, and Address is where it is reached.
	Member  placement.MemberID
	Address string
	// Epoch is the fencing token. Send it with what you ask of the owner, and have resources refuse smaller ones.
	Epoch placement.Epoch
	// Draining says that the owner was asked to stop.
	Draining bool
	// Index is the log index of the state that answered, and ServedBy the server.
	Index    uint64
	ServedBy string
	// Level is what the answer promises: Leased when the server answered under its read lease, Leader when the leader proved
	// itself for it. Age is, of a Stale one, how old the state may be at most; negative when the server does not know.
	Level Level
	Age   time.Duration
	// Cached says that nobody was asked for it: it is what this client, or a call that was on its way already, was answered
	// before. It promises nothing, so Level is Stale and Age is negative; Index is that of the state that answered then.
	Cached bool
}

func placementOf(p *apiv1.Placement, r *apiv1.Read) Placement {
	return Placement{
		Identity: placement.Identity{Kind: p.GetKind(), Key: p.GetKey()}, Phase: placement.Phase(p.GetPhase() - apiv1.Placement_ABSENT),
		Member: placement.MemberID(p.GetMember()), Address: p.GetAddress(), Epoch: placement.Epoch(p.GetEpoch()), Draining: p.GetDraining(),
		Index: r.GetIndex(), ServedBy: r.GetServedBy(), Level: levelOf(r), Age: ageOf(r),
	}
}

func levelOf(r *apiv1.Read) Level { return Level(max(0, slices.Index(levels[:], r.GetLevel()))) }

func ageOf(r *apiv1.Read) time.Duration {
	if r.GetLevel() == apiv1.Level_STALE && r.Age == nil {
		return -1
	}
	return r.GetAge().AsDuration()
}

// Lookup returns the settled placement of an identity. The answer is linearizable: it was so at a moment between the
// call and the answer. With Config.Cache it is not: it may be one that was remembered (Placement.Cached), which the owner is
// asked about by its Epoch, and which is dropped with Forget when the owner is not there or is not the owner; LookupAt then
// asks a server in any case. It waits, as long as ctx or Config.Timeout allows, for an identity that is not settled and for a
// cluster that has no leader. It fails with ErrNotPlaced, ErrUnsettled, ErrUnavailable or ErrInvalid.
func (c *Client) Lookup(ctx context.Context, id placement.Identity) (Placement, error) {
	hook := c.conn.config.Hooks.Lookup
	if hook == nil {
		return c.lookup(ctx, id)
	}
	begin := time.Now()
	p, err := c.lookup(ctx, id)
	hook(p, err, time.Since(begin))
	return p, err
}

func (c *Client) lookup(ctx context.Context, id placement.Identity) (Placement, error) {
	if c.kept != nil {
		return c.kept.lookup(ctx, id)
	}
	return c.ask(ctx, &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key})
}

// Forget drops what the cache remembers of an identity, when its epoch is not larger than the given one, or any for zero. Whoever
// finds nobody where a placement says, or is told of another epoch there, calls it and looks up again, after a pause: an
// owner that died is the owner until its lease is over. Without a cache it does nothing.
func (c *Client) Forget(id placement.Identity, epoch placement.Epoch) {
	if c.kept != nil {
		c.kept.forget(id, epoch)
	}
}

// ask has a server look an identity up.
func (c *Client) ask(ctx context.Context, req *apiv1.LookupRequest) (Placement, error) {
	resp, err := c.api.Lookup(ctx, req)
	if err != nil {
		return Placement{}, err
	}
	return c.remember(placementOf(resp.Placement, resp.Read)), nil
}

// remember has the cache remember what was answered, and returns it.
func (c *Client) remember(p Placement) Placement {
	if c.kept != nil {
		c.kept.put(p)
	}
	return p
}

// Result is the outcome for one identity of a batch.
type Result struct {
	Placement Placement
	// Created says that the call made the placement.
	Created bool
	// Err is nil, or what Lookup or Place would have failed with.
	Err error
}

// LookupAll looks identities up, each BatchMax of them as of one moment. It always asks a server. The results have the order of ids. The error is
// that of a call as a whole; the results of the calls before it are returned with it.
func (c *Client) LookupAll(ctx context.Context, ids []placement.Identity) ([]Result, error) {
	results := make([]Result, 0, len(ids))
	for len(ids) > 0 {
		part := ids[:min(len(ids), BatchMax)]
		ids = ids[len(part):]
		begin, done := time.Now(), len(results)
		resp, err := c.api.BatchLookup(ctx, &apiv1.BatchLookupRequest{Identities: identities(part)})
		for _, r := range resp.GetResults() {
			results = append(results, Result{Placement: c.remember(placementOf(r.Placement, resp.Read)), Err: itemError(r.Error)})
		}
		if h := c.conn.config.Hooks.Lookup; h != nil {
			eachResult(len(part), results[done:], err, func(r Result) { h(r.Placement, r.Err, time.Since(begin)) })
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// eachResult goes over the outcomes of a call for n identities: those of the call as a whole, when it failed.
func eachResult(n int, results []Result, err error, f func(Result)) {
	if err != nil {
		for range n {
			f(Result{Err: err})
		}
		return
	}
	for _, r := range results {
		f(r)
	}
}

func identities(ids []placement.Identity) []*apiv1.Identity {
	out := make([]*apiv1.Identity, len(ids))
	for i, id := range ids {
		out[i] = &apiv1.Identity{Kind: id.Kind, Key: id.Key}
	}
	return out
}

// Place gives an identity an owner, or returns the one that it has, and waits until it is settled. It is idempotent, and
// it is carried out once however often it has to be asked for; created says that this call made the placement. It fails
// with ErrNoMember, ErrUnsettled (the owner did not confirm in time), ErrUnavailable, ErrOverloaded, ErrInvalid, or
// ErrUnknown, after which it may be placed or not, and placing again is safe.
func (c *Client) Place(ctx context.Context, id placement.Identity) (p Placement, created bool, err error) {
	begin := time.Now()
	resp, err := c.api.Place(ctx, &apiv1.PlaceRequest{Kind: id.Kind, Key: id.Key})
	if err == nil {
		p, created = c.remember(placementOf(resp.Placement, resp.Read)), resp.Created
	}
	if h := c.conn.config.Hooks.Place; h != nil {
		h(p, created, err, time.Since(begin))
	}
	return p, created, err
}

// PlaceAll places identities, BatchMax at a time. The results have the order of ids. The error is that of a call as a
// whole; the results of the calls before it are returned with it.
func (c *Client) PlaceAll(ctx context.Context, ids []placement.Identity) ([]Result, error) {
	results := make([]Result, 0, len(ids))
	for len(ids) > 0 {
		part := ids[:min(len(ids), BatchMax)]
		ids = ids[len(part):]
		begin, done := time.Now(), len(results)
		resp, err := c.api.BatchPlace(ctx, &apiv1.BatchPlaceRequest{Identities: identities(part)})
		for _, r := range resp.GetResults() {
			results = append(results, Result{Placement: c.remember(placementOf(r.Placement, resp.Read)), Created: r.Created, Err: itemError(r.Error)})
		}
		if h := c.conn.config.Hooks.Place; h != nil {
			eachResult(len(part), results[done:], err, func(r Result) { h(r.Placement, r.Created, r.Err, time.Since(begin)) })
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// removeWait is how long one call of Remove waits for the owner before it is made again.
const removeWait = time.Second

// waitWithin is how long a call of Remove may wait, so that what it waits for is told before the context ends.
func waitWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return removeWait
	}
	return max(50*time.Millisecond, min(removeWait, time.Until(deadline)/2))
}

// Remove asks the owner of an identity to stop and to release it, and waits until nobody can see the placement any more.
// An epoch of zero removes whatever is there; another one only that. waiting, unless it is nil, is told now and then what
// is waited for. When ctx ends first the error wraps its cause, and the removal goes on without the caller. It fails with
// ErrNotPlaced, ErrFenced, ErrUnavailable or ErrInvalid.
func (c *Client) Remove(ctx context.Context, id placement.Identity, epoch placement.Epoch, waiting func(what string)) error {
	said := ""
	for first := true; ; first = false {
		call, cancel := context.WithTimeout(ctx, removeWait+c.conn.config.Timeout)
		resp, err := c.api.Remove(call, &apiv1.RemoveRequest{Kind: id.Kind, Key: id.Key, Epoch: uint64(epoch), Wait: durationpb.New(waitWithin(ctx))})
		cancel()
		if err != nil {
			if e, ok := err.(*Error); ok && !first && (e.Is(ErrNotPlaced) || e.Is(ErrFenced)) {
				return nil // it came about between two calls
			}
			if said != "" && ctx.Err() != nil {
				return fmt.Errorf("removal of %v goes on, waiting for %s: %w", id, said, context.Cause(ctx))
			}
			return err
		}
		if resp.Done {
			return nil
		}
		if e := placement.Epoch(resp.Placement.GetEpoch()); e != 0 {
			epoch = e // not whatever is placed there later
		}
		if waiting != nil {
			waiting(resp.WaitsFor)
		}
		said = resp.WaitsFor
		if ctx.Err() != nil {
			return fmt.Errorf("removal of %v goes on, waiting for %s: %w", id, resp.WaitsFor, context.Cause(ctx))
		}
	}
}
