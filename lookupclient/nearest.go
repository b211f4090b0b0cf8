package lookupclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// balancerName is the name of our balancer in gRPC's table.
	balancerName = "berth_nearest"
	// exploreEvery look-ups one goes to a server whatever its distance, which is measured so.
	exploreEvery = 64
)

// gRPC looks balancers up in a table of the process, and wants it filled before it is used.
func init() {
	balancer.Register(nearestBuilder{base.NewBalancerBuilder(balancerName, pickerBuilder{}, base.Config{})})
}

// route says which server a call may go to, and which one it went to. The zero value is any, in turn.
type route struct {
	known *distances // unless it is nil: one that is well
	near  bool       // and near
	avoid string     // not this one
	only  string     // this one alone

	sent   atomic.Int32 // attempts for which a connection has taken the call, or may yet
	chosen atomic.Pointer[string]
	moved  atomic.Pointer[func()] // unless it is nil: called when the call goes to another server
}

// server is where the call went; empty while it has gone nowhere.
func (r *route) server() string {
	if s := r.chosen.Load(); s != nil {
		return *s
	}
	return ""
}

// unsentError is what a call failed with that no connection has taken: no server can have seen it.
type unsentError struct{ error }

// Unwrap returns what it failed with.
func (e unsentError) Unwrap() error { return e.error }

// GRPCStatus is the status of what it failed with.
func (e unsentError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// failed is the error of a call that took the route and is over, marked when no connection has taken it.
func (r *route) failed(err error) error {
	if err == nil || r.sent.Load() > 0 {
		return err
	}
	return unsentError{err}
}

// sent says whether a failed call may have reached a server.
func sent(err error) bool {
	var unsent unsentError
	return !errors.As(err, &unsent)
}

func (r *route) fits(s *readyServer) bool {
	return (r.only == "" || s.address == r.only) && (r.avoid == "" || s.address != r.avoid)
}

type routeKey struct{}

// with returns a context whose calls take the route.
func (r *route) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, routeKey{}, r)
}

type pickerBuilder struct{}

// Build returns a picker of the servers that are connected.
func (pickerBuilder) Build(info base.PickerBuildInfo) balancer.Picker {
	p := &picker{}
	for sc, x := range info.ReadySCs {
		p.servers = append(p.servers, readyServer{sc, x.Address.Addr})
	}
	slices.SortFunc(p.servers, func(a, b readyServer) int { return strings.Compare(a.address, b.address) })
	p.turn.Store(rand.Uint32())
	return p
}

// picker chooses the server that a call goes to.
type picker struct {
	servers []readyServer
	turn    atomic.Uint32
}

type readyServer struct {
	conn    balancer.SubConn
	address string
}

var errNoOtherServer = status.Error(codes.Unavailable, "no other server is connected")

// Pick chooses a server for a call.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	r, _ := info.Ctx.Value(routeKey{}).(*route)
	if r == nil {
		r = &route{}
	}
	if len(p.servers) == 0 && r.only == "" {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable // wait for one
	}
	s := p.choose(r, p.turn.Add(1))
	if s == nil {
		return balancer.PickResult{}, errNoOtherServer
	}
	r.chosen.Store(&s.address)
	if moved := r.moved.Load(); moved != nil {
		(*moved)()
	}
	r.sent.Add(1)
	done := func(info balancer.DoneInfo) {
		if !info.BytesSent {
			r.sent.Add(-1)
		}
	}
	return balancer.PickResult{SubConn: s.conn, Done: done}, nil
}

// choose returns one of the servers that a route allows, in turn; nil when it allows none that is connected.
func (p *picker) choose(r *route, turn uint32) *readyServer {
	allowed := r.fits
	if d := r.known; d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch {
		case !r.near:
			allowed = d.well(p.servers, r.fits)
		case turn%exploreEvery == 0:
			allowed, turn = d.well(p.servers, r.fits), turn/exploreEvery // which goes round too
		default:
			allowed = d.within(p.servers, r.fits)
		}
	}
	count := uint32(0)
	for i := range p.servers {
		if allowed(&p.servers[i]) {
			count++
		}
	}
	if count == 0 {
		return nil
	}
	skip := turn % count
	for i := range p.servers {
		if !allowed(&p.servers[i]) {
			continue
		}
		if skip == 0 {
			return &p.servers[i]
		}
		skip--
	}
	return nil
}
