// Package lookupclient is what applications import: it asks a berth cluster who owns an identity, has identities placed
// and removed, and hosts activations.
//
// # Looking up
//
// Open a Client with the gRPC addresses of the servers. Client.Lookup is linearizable on every server: it returns an
// owner that was the owner at a moment during the call, or says why there is none. It never guesses. Send the placement's
// Epoch with what you ask of the owner: the owner, and every resource behind it, refuses a smaller one than it has seen.
//
//	c, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420", "s2:7420", "s3:7420"}})
//	p, created, err := c.Place(ctx, placement.Identity{Kind: "cart", Key: "42"}) // gives it an owner, or finds the one it has
//	p, err = c.Lookup(ctx, p.Identity)                                           // p.Address, p.Epoch
//	if errors.Is(err, lookupclient.ErrNotPlaced) { … }
//
// LookupAll and PlaceAll take many identities in few calls. Remove asks the owner to stop, and waits until nobody can see
// the placement any more. Conn is the connection under it, for the calls of apiv1 that have no method here.
//
// Look-ups go to the servers that are near and well, and to a second one when the first lets them wait (Config.HedgeAfter).
// Config.Attempts and Config.Timeout bound how often and how long a call is made again; Config.Hooks are told what happens, for
// metrics.
//
// With Config.Cache a client remembers what it was answered, and Lookup may answer that: a hint, marked Cached, for programs that
// send the epoch to the owner in any case. What ends is dropped as soon as a server tells it; Forget drops what the program
// has found out by itself. Reach does all of it: it looks up, has a function ask the owner, and begins again when nobody was there.
//
//	err = c.Reach(ctx, cart, func(ctx context.Context, p lookupclient.Placement) error {
//		err := ask(ctx, p.Address, p.Epoch)
//		if isGone(err) { // nobody there, or an owner under another epoch
//			return fmt.Errorf("%w: %w", lookupclient.ErrGone, err)
//		}
//		return err
//	})
//
// # Watching
//
// Client.Watch yields everything that happens, in the order of the log: placements, members, locks. It begins now, behind a
// Position, or behind a snapshot of what there is, and goes on at another server when the one that tells it is lost.
//
//	for u, err := range c.Watch(ctx, lookupclient.WatchConfig{Kind: "cart", Snapshot: true}) {
//		… // u.Records are what there was, u.Events what happened since; keep u.Position to go on from there
//	}
//
// # Hosting
//
// Client.Join makes the process a member. It is told what to activate, confirms, and from then on the Activation's
// context is the promise: while it has not ended, nobody else owns the identity. It ends by the process's own clock when
// the cluster cannot be reached for the length of a lease, before anybody else can be chosen. Check right before an
// effect what no context can tell in time: that the process was not stopped for a while.
//
//	m, err := c.Join(ctx, lookupclient.MemberConfig{
//		Name: "host-1", Address: "host-1:9000",
//		Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) {
//			… // act, with a.Epoch, until a.Context() ends; call a.Check right before an effect
//		}}},
//	})
//	err = m.Leave(ctx) // stops and releases everything; nobody waits for a lease
//
// A member that lost its lease joins again by itself, as a new incarnation that holds nothing.
//
// # Locking
//
// Client.OpenSession makes a lease that locks hang on; it keeps itself. Session.Acquire waits for a lock, in the order of
// asking. While the Lock's context has not ended, nobody else holds it against its mode; it ends by the process's own clock,
// as an activation's does. A lock alone does not protect a resource: between a check and its effect the process may be
// stopped for any time. Send the Token with each effect, and have the resource refuse smaller ones: package fence has the check
// for Go programs, SQL databases and Redis.
//
//	s, err := c.OpenSession(ctx, lookupclient.SessionConfig{Holder: "ci-7"})
//	l, err := s.Acquire(ctx, "nightly", lookupclient.LockOptions{})
//	… // work, with l.Token, until l.Context() ends
//	err = l.Release(ctx)
//	err = s.Close(ctx)
//
// # Errors
//
// Every error of a call is an *Error with a reason of a closed list. Three outcomes are kept apart: done; refused, when
// nothing was changed (ErrUnavailable, ErrOverloaded, ErrInvalid …); and ErrUnknown. Calls are tried again by themselves
// as long as that is safe: a change carries a request id and is carried out once, however often it has to be asked for.
//
// # Goroutines
//
// A Client has those of its gRPC connection, and with a cache one that is told what ends, until Close, which waits for them; a
// look-up that waits has one until it ends, and a server that calls wait for has one as long as they do. A Member has one loop that owns its state, one that ends the
// incarnation by the clock, two for its session, and one for each function of Kind that runs; Leave and Close wait for all.
// A Session has one that keeps it and one that ends it by the clock; Close waits for both.
//
// # Testing
//
// Package lookuptest is a cluster in the process of a test, with faults on demand, also in virtual time. Package contract gives a
// cluster the form that adapters of actor frameworks ask for.
//
// DESIGN.md has the decisions, and the test of each rule.
package lookupclient
