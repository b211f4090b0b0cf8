package lookupclient

import (
	"slices"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// resolved is what gRPC is told of the servers: those of Config.Servers, and where the others are found.
func (f *followed) resolved() resolver.State {
	state := resolver.State{Attributes: attributes.New(followedKey{}, f)}
	for _, s := range f.given {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: s})
	}
	return state
}

type followedKey struct{}

// nearestBuilder makes balancers that connect to the servers of Config.Servers, and to others while those are few that can be reached.
type nearestBuilder struct{ balancer.Builder }

// Build returns a balancer.
func (b nearestBuilder) Build(cc balancer.ClientConn, o balancer.BuildOptions) balancer.Balancer {
	n := &nearest{reached: map[string]*reached{}}
	n.Balancer = b.Builder.Build(&noticing{cc, n}, o)
	return n
}

// nearest is gRPC's balancer, with the servers that it is to connect to at the moment. gRPC calls it from one goroutine at a time.
type nearest struct {
	balancer.Balancer
	followed *followed
	state    balancer.ClientConnState
	reached  map[string]*reached // by address
	few      bool                // of Config.Servers can be reached
}

// reached is whether a server can be reached.
type reached struct {
	ready  bool // it is connected
	failed bool // it could not be connected to, and has not been since
}

// UpdateClientConnState takes in which servers there are.
func (n *nearest) UpdateClientConnState(s balancer.ClientConnState) error {
	n.state = s
	n.followed, _ = s.ResolverState.Attributes.Value(followedKey{}).(*followed)
	return n.connect()
}

// connect has connections to the servers that are to be used.
func (n *nearest) connect() error {
	s := n.state
	if n.few && n.followed != nil {
		s.ResolverState.Addresses = slices.Clone(s.ResolverState.Addresses)
		for _, a := range n.followed.others() {
			s.ResolverState.Addresses = append(s.ResolverState.Addresses, resolver.Address{Addr: a})
		}
	}
	return n.Balancer.UpdateClientConnState(s)
}

// noticed takes in what became of a connection.
func (n *nearest) noticed(x *reached, state connectivity.State) {
	before := x.ready
	switch x.ready = state == connectivity.Ready; state {
	case connectivity.Ready:
		x.failed = false
	case connectivity.TransientFailure:
		x.failed = true
	}
	if n.followed == nil {
		return
	}
	if before && !x.ready && state != connectivity.Shutdown { // this balancer has not ended it
		n.followed.ended()
	}
	if few := n.areFew(); few != n.few {
		n.few = few
		n.followed.few.Store(few)
		_ = n.connect() // it fails without addresses
	}
}

// spare is how many of Config.Servers a client wants to reach. When one vanishes that is alone, whatever is asked waits until that is found
// out, which takes as long as many a lease.
const spare = 2

// areFew says whether fewer than that can be reached, or none when there is one alone.
func (n *nearest) areFew() bool {
	given, reached := n.state.ResolverState.Addresses, 0
	for _, a := range given {
		if x := n.reached[a.Addr]; x == nil || !x.failed {
			reached++
		}
	}
	return reached < min(spare, len(given))
}

// noticing has a balancer notice what becomes of the connections that it makes.
type noticing struct {
	balancer.ClientConn
	balancer *nearest
}

// NewSubConn makes a connection.
func (c *noticing) NewSubConn(to []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	x, listener := &reached{}, o.StateListener
	o.StateListener = func(s balancer.SubConnState) {
		listener(s)
		c.balancer.noticed(x, s.ConnectivityState)
	}
	c.balancer.reached[to[0].Addr] = x
	//lint:ignore SA1019 what will be gone is more than one address, and there is one.
	return c.ClientConn.NewSubConn(to, o)
}
