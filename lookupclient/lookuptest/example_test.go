package lookuptest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/lookuptest"
	"github.com/seed13d31b7f/berth/placement"
)

// A cluster with one member that hosts carts. A test calls Start(t, …), and has nothing to close.
func Example() {
	c, err := lookuptest.Open(lookuptest.Config{Members: []lookupclient.MemberConfig{
		{Name: "shop-1", Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) { <-a.Context().Done() }}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cart := context.Background(), placement.Identity{Kind: "cart", Key: "42"}

	placed, _, err := c.Client().Place(ctx, cart)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(placed.Member, "owns", cart)

	c.Kill(c.WaitLeader()) // the process of the leader dies
	found, err := c.Client().Lookup(ctx, cart)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("still so:", found.Member, found.Epoch == placed.Epoch)
	// Output:
	// shop-1 owns cart/42
	// still so: shop-1 true
}

// A member that is cut off ends its activations by its own clock.
func ExampleCluster_CutMember() {
	began, ended := make(chan bool, 1), make(chan error, 1)
	c, err := lookuptest.Open(lookuptest.Config{Servers: 1, MemberTTL: time.Second, Members: []lookupclient.MemberConfig{
		{Name: "shop-1", Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) {
			began <- true
			<-a.Context().Done()
			ended <- context.Cause(a.Context())
		}}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Client().Place(context.Background(), placement.Identity{Kind: "cart", Key: "42"}); err != nil {
		log.Fatal(err)
	}
	<-began
	c.CutMember("shop-1")
	fmt.Println(<-ended)
	// Output:
	// the lease ran out
}

// Without a majority of servers nothing is decided, and the client says so.
func ExampleCluster_Cut() {
	c, err := lookuptest.Open(lookuptest.Config{Servers: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	c.Cut("s1", "s2")
	c.Cut("s1", "s3")
	c.Cut("s2", "s3")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = c.Client().Lookup(ctx, placement.Identity{Kind: "cart", Key: "42"})
	fmt.Println("unavailable:", errors.Is(err, lookupclient.ErrUnavailable))
	c.Heal()
	_, err = c.Client().Lookup(context.Background(), placement.Identity{Kind: "cart", Key: "42"})
	fmt.Println("not placed:", errors.Is(err, lookupclient.ErrNotPlaced))
	// Output:
	// unavailable: true
	// not placed: true
}
