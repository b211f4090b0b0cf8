package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
)

// Who owns the cart? A program asks the cluster, and sends the epoch along with what it asks of the owner.
func Example() {
	servers, stop := exampleCluster()
	defer stop()

	client, err := lookupclient.Open(lookupclient.Config{Servers: servers})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	// This process hosts carts.
	member, err := client.Join(ctx, lookupclient.MemberConfig{
		Name: "shop-1", Address: "10.0.0.7:8080",
		Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) {
			<-a.Context().Done() // as long as it has not ended, nobody else owns a.Identity
		}}},
	})
	if err != nil {
		log.Fatal(err)
	}

	cart := placement.Identity{Kind: "cart", Key: "42"}
	_, err = client.Lookup(ctx, cart)
	fmt.Println("not placed:", errors.Is(err, lookupclient.ErrNotPlaced))

	placed, created, err := client.Place(ctx, cart) // by any process, as often as you like
	if err != nil {
		log.Fatal(err)
	}
	found, err := client.Lookup(ctx, cart) // linearizable, by any server
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Member, "at", found.Address, "owns", cart)
	fmt.Println("placed now:", created, "same epoch:", found.Epoch == placed.Epoch)

	if err := member.Leave(ctx); err != nil { // nobody has to wait for its lease
		log.Fatal(err)
	}
	_, err = client.Lookup(ctx, cart)
	fmt.Println("free again:", errors.Is(err, lookupclient.ErrNotPlaced))
	// Output:
	// not placed: true
	// shop-1 at 10.0.0.7:8080 owns cart/42
	// placed now: true same epoch: true
	// free again: true
}

// An activation that writes to a resource shows its epoch, and checks its lease right before.
func ExampleActivation_Check() {
	servers, stop := exampleCluster()
	defer stop()
	client, err := lookupclient.Open(lookupclient.Config{Servers: servers})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	write := func(epoch placement.Epoch, what string) { fmt.Println("writes with an epoch:", epoch > 0, what) }
	wrote := make(chan struct{})
	member, err := client.Join(context.Background(), lookupclient.MemberConfig{
		Name: "shop-1", Address: "10.0.0.7:8080",
		Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) {
			defer close(wrote)
			if err := a.Check(); err != nil { // the process may have been stopped for a while
				return
			}
			write(a.Epoch, "three apples") // the resource refuses smaller epochs than it has seen
		}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()
	if _, _, err := client.Place(context.Background(), placement.Identity{Kind: "cart", Key: "42"}); err != nil {
		log.Fatal(err)
	}
	<-wrote
	// Output:
	// writes with an epoch: true three apples
}

// One process at a time writes the report. The resource that it writes to refuses tokens that are smaller than one it has seen.
func ExampleSession_Acquire() {
	servers, stop := exampleCluster()
	defer stop()
	client, err := lookupclient.Open(lookupclient.Config{Servers: servers})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	session, err := client.OpenSession(ctx, lookupclient.SessionConfig{Holder: "ci-7"})
	if err != nil {
		log.Fatal(err)
	}
	lock, err := session.Acquire(ctx, "nightly", lookupclient.LockOptions{}) // waits in the order of asking
	if err != nil {
		log.Fatal(err)
	}
	newest := lock.Token // what the resource has seen
	work := func(ctx context.Context, token placement.Epoch) bool { return ctx.Err() == nil && token >= newest }
	fmt.Println("done:", work(lock.Context(), lock.Token))

	if err := lock.Release(ctx); err != nil {
		log.Fatal(err)
	}
	again, err := session.TryAcquire(ctx, "nightly", lookupclient.LockOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("larger:", again.Token > newest)
	if err := session.Close(ctx); err != nil { // gives up whatever it holds
		log.Fatal(err)
	}
	fmt.Println("held:", again.Check() == nil)
	// Output:
	// done: true
	// larger: true
	// held: false
}

// A program that must know who owns what follows everything that happens, behind a snapshot of what there is.
func ExampleClient_Watch() {
	servers, stop := exampleCluster()
	defer stop()
	client, err := lookupclient.Open(lookupclient.Config{Servers: servers})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	member, err := client.Join(ctx, lookupclient.MemberConfig{Name: "shop-1", Address: "10.0.0.7:8080", Kinds: map[string]lookupclient.Kind{"cart": {}}})
	if err != nil {
		log.Fatal(err)
	}
	if _, _, err := client.Place(ctx, placement.Identity{Kind: "cart", Key: "1"}); err != nil {
		log.Fatal(err)
	}

	var position lookupclient.Position // keep it, to go on from there in another process
	for u, err := range client.Watch(ctx, lookupclient.WatchConfig{Kind: "cart", Snapshot: true, Types: []apiv1.Event_Type{apiv1.Event_SETTLED, apiv1.Event_REMOVED}}) {
		if err != nil {
			log.Fatal(err)
		}
		if u.Reset != 0 {
			fmt.Println("forget what you know:", u.Reset)
		}
		for _, r := range u.Records {
			fmt.Println("there is", r.Placement.GetKey(), "on", r.Placement.GetMember())
		}
		for _, e := range u.Events {
			fmt.Println(e.Type, e.Key, "on", e.Member)
		}
		if u.Partial {
			continue // more of the snapshot follows
		}
		if len(u.Events) > 0 {
			break
		}
		position = u.Position
		go func() { _, _, _ = client.Place(ctx, placement.Identity{Kind: "cart", Key: "2"}) }()
	}
	fmt.Println("from here on:", position.Index > 0)
	member.Close()
	// Output:
	// forget what you know: BEGIN
	// there is 1 on shop-1
	// SETTLED 2 on shop-1
	// from here on: true
}

// exampleCluster is a cluster of one server in this process; real ones are processes of their own: berth serve.
func exampleCluster() (servers []string, stop func()) {
	dir, err := os.MkdirTemp("", "berth-example-")
	if err != nil {
		log.Fatal(err)
	}
	node, err := raftnode.Open(raftnode.Config{
		Name: "s1", DataDir: dir, RaftAddress: "127.0.0.1:0", GRPCAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0",
	})
	if err != nil {
		log.Fatal(err)
	}
	return []string{node.GRPCAddr()}, func() {
		if err := errors.Join(node.Close(context.Background()), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// A program that asks owners all the time remembers who they are. What it remembers is a hint; the owner refuses a wrong epoch.
func ExampleClient_Forget() {
	servers, stop := exampleCluster()
	defer stop()
	client, err := lookupclient.Open(lookupclient.Config{Servers: servers, Cache: 1_000_000})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	member, err := client.Join(ctx, lookupclient.MemberConfig{
		Name: "shop-1", Address: "10.0.0.7:8080", Kinds: map[string]lookupclient.Kind{"cart": {}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()
	cart := placement.Identity{Kind: "cart", Key: "42"}
	if _, _, err := client.Place(ctx, cart); err != nil {
		log.Fatal(err)
	}

	ask := func(address string, epoch placement.Epoch) error { return errors.New("connection refused") }
	p, err := client.Lookup(ctx, cart) // from memory, when it is there
	if err != nil {
		log.Fatal(err)
	}
	if err := ask(p.Address, p.Epoch); err != nil {
		client.Forget(cart, p.Epoch)
		p, err = client.Lookup(ctx, cart) // from a server
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(p.Member, "cached:", p.Cached)
	// Output: shop-1 cached: false
}

// What a client does is told to functions, for whatever library of metrics the program has.
func ExampleHooks() {
	servers, stop := exampleCluster()
	defer stop()
	var activations, failed, retries atomic.Int64
	client, err := lookupclient.Open(lookupclient.Config{Servers: servers, Hooks: lookupclient.Hooks{
		Place: func(_ lookupclient.Placement, created bool, _ error, _ time.Duration) {
			if created {
				activations.Add(1)
			}
		},
		Lookup: func(p lookupclient.Placement, err error, took time.Duration) { // p.Cached, p.Level: from where; took: for a histogram
			if err != nil {
				failed.Add(1)
			}
		},
		Retry: func(why apiv1.Reason) { retries.Add(1) },
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	member, err := client.Join(ctx, lookupclient.MemberConfig{Name: "shop-1", Address: "10.0.0.7:8080", Kinds: map[string]lookupclient.Kind{"cart": {}}})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()

	_, _ = client.PlaceAll(ctx, []placement.Identity{{Kind: "cart", Key: "1"}, {Kind: "cart", Key: "2"}})
	_, _ = client.Lookup(ctx, placement.Identity{Kind: "cart", Key: "1"})
	_, _ = client.Lookup(ctx, placement.Identity{Kind: "cart", Key: "3"})
	fmt.Println("activations:", activations.Load(), "look-ups that failed:", failed.Load())
	// Output: activations: 2 look-ups that failed: 1
}

// A message is delivered to whoever owns the cart. The first delivery goes nowhere: the owner has died, say, or its process was started anew.
func ExampleClient_Reach() {
	servers, stop := exampleCluster()
	defer stop()
	client, err := lookupclient.Open(lookupclient.Config{Servers: servers, Cache: 1_000_000, Attempts: 10})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	member, err := client.Join(ctx, lookupclient.MemberConfig{Name: "shop-1", Address: "10.0.0.7:8080", Kinds: map[string]lookupclient.Kind{"cart": {}}})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()

	tries := 0
	deliver := func(address string, epoch placement.Epoch) error {
		if tries++; tries == 1 {
			return errors.New("connection refused")
		}
		return nil
	}
	cart := placement.Identity{Kind: "cart", Key: "42"}
	err = client.Reach(ctx, cart, func(_ context.Context, p lookupclient.Placement) error {
		if err := deliver(p.Address, p.Epoch); err != nil {
			return fmt.Errorf("%w: %w", lookupclient.ErrGone, err) // it was not done, so it may be asked for again
		}
		fmt.Println("delivered to", p.Member)
		return nil
	})
	fmt.Println(tries, err)
	// Output:
	// delivered to shop-1
	// 2 <nil>
}
