package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// mover is a server that moves what it is asked to, and counts.
type mover struct {
	apiv1.UnimplementedPlacementsServer
	takes time.Duration

	mu             sync.Mutex
	now, most, all int
	answer         map[string]func() (*apiv1.MoveResponse, error) // by key; the others are moved
}

func (m *mover) Move(_ context.Context, req *apiv1.MoveRequest) (*apiv1.MoveResponse, error) {
	m.mu.Lock()
	m.now++
	m.all++
	m.most = max(m.most, m.now)
	m.mu.Unlock()
	time.Sleep(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now--
	if f := m.answer[req.Key]; f != nil {
		return f()
	}
	return &apiv1.MoveResponse{Done: true, Placement: &apiv1.Placement{Kind: req.Kind, Key: req.Key, Phase: apiv1.Placement_SETTLED, Member: req.To, Epoch: req.Epoch + 1}}, nil
}

// rebalances has so many moves carried out by a server, and returns what was said and what it came to.
func (m *mover) rebalances(ctx context.Context, t *testing.T, r *rebalance, n int) (said string, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	apiv1.RegisterPlacementsServer(s, m)
	go func() { _ = s.Serve(l) }() // ends with Stop
	defer s.Stop()
	c, err := lookupclient.Open(lookupclient.Config{Servers: []string{l.Addr().String()}, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var errs bytes.Buffer
	r.app = &app{out: io.Discard, err: &errs, printer: output.Printer{Format: output.Table, Out: io.Discard}}
	if r.wait == 0 {
		r.wait = time.Minute
	}
	moves := make([]plannedMove, n)
	for i := range moves {
		id := placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}
		moves[i] = plannedMove{lookupclient.MoveRequest{Identity: id, To: "m2", Epoch: 5}, &apiv1.RebalanceMove{Kind: id.Kind, Key: id.Key, To: "m2"}}
	}
	r.all.Planned = uint64(n)
	err = r.carryOut(ctx, c, moves)
	return errs.String(), err
}

// No more moves are on their way at once than was said, nor are more begun in a second.
func TestRebalance_SoManyAtOnceAndASecond(t *testing.T) {
	m := &mover{takes: 20 * time.Millisecond}
	r := &rebalance{atOnce: 5}
	if said, err := m.rebalances(t.Context(), t, r, 40); err != nil || r.all.Moved != 40 || m.most != 5 {
		t.Errorf("%d moved, %d at once, %v\n%s", r.all.Moved, m.most, err, said)
	}
	m, r = &mover{}, &rebalance{atOnce: 5, rate: 100}
	begin := time.Now()
	said, err := m.rebalances(t.Context(), t, r, 30)
	if took := time.Since(begin); err != nil || r.all.Moved != 30 || took < 290*time.Millisecond {
		t.Errorf("%d moved in %v, 100 a second were allowed, %v\n%s", r.all.Moved, took, err, said)
	}
}

// What became of each move is told, and counted; what is refused, or on its way still, makes the exit status.
func TestRebalance_WhatBecomesOfAMove_IsTold(t *testing.T) {
	refuses := func(r apiv1.Reason) func() (*apiv1.MoveResponse, error) {
		return func() (*apiv1.MoveResponse, error) { return nil, apiv1.Status(r, "so it is", nil, 0).Err() }
	}
	m := &mover{answer: map[string]func() (*apiv1.MoveResponse, error){
		"0": refuses(apiv1.ReasonNotPlaced), "1": refuses(apiv1.ReasonEpochMismatch), "2": refuses(apiv1.ReasonNoEligibleMember),
		"3": func() (*apiv1.MoveResponse, error) {
			return &apiv1.MoveResponse{Done: true, Placement: &apiv1.Placement{Kind: "cart", Key: "3", Member: "m3", Epoch: 9}}, nil
		},
		"4": func() (*apiv1.MoveResponse, error) { return &apiv1.MoveResponse{WaitsFor: "m1 to stop it"}, nil },
	}}
	r := &rebalance{atOnce: 3, wait: 200 * time.Millisecond}
	said, err := m.rebalances(t.Context(), t, r, 10)
	var status *statusError
	if !errors.As(err, &status) {
		t.Errorf("the error is %v", err)
	}
	if a := &r.all; a.Moved != 5 || a.Overtaken != 2 || a.Refused != 1 || a.Elsewhere != 1 || a.Unfinished != 1 || len(a.Failures) != 5 {
		t.Errorf("%v", a)
	}
	for _, want := range []string{
		"cart/0 to m2: not needed any more: so it is", "cart/2 to m2: refused: NO_ELIGIBLE_MEMBER  so it is", "cart/3 to m2: it could not be given it any more, so m3 was",
		"cart/4 to m2: still on its way: move of cart/4 goes on, waiting for m1 to stop it",
		"moved 5 of 10 in ", "; 1 went elsewhere; 2 not needed any more; 1 still on their way; 1 refused\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
	}
}

// When the cluster cannot be asked any more, no other move is begun.
func TestRebalance_NoLeader_Stops(t *testing.T) {
	none := func() (*apiv1.MoveResponse, error) {
		return nil, apiv1.Status(apiv1.ReasonNoLeader, "an election", nil, 0).Err()
	}
	m := &mover{answer: map[string]func() (*apiv1.MoveResponse, error){}}
	for i := 5; i < 1000; i++ {
		m.answer[fmt.Sprint(i)] = none
	}
	r := &rebalance{atOnce: 2, wait: 300 * time.Millisecond}
	said, err := m.rebalances(t.Context(), t, r, 1000)
	if !errors.Is(err, lookupclient.ErrUnavailable) || r.all.Moved != 5 || r.all.Refused > 4 || !strings.Contains(said, " not begun") {
		t.Errorf("%v, %v\n%s", &r.all, err, said)
	}
}

// An interrupt begins no more moves, and lets those that are on their way come to their end.
func TestRebalance_Interrupted_EndsInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &mover{takes: 300 * time.Millisecond}
	time.AfterFunc(100*time.Millisecond, cancel)
	r := &rebalance{atOnce: 4}
	said, err := m.rebalances(ctx, t, r, 100)
	if !errors.Is(err, context.Canceled) || r.all.Moved != uint64(m.all) || m.all == 0 || m.all > 8 || !strings.Contains(said, "run it again to go on") {
		t.Errorf("%d were begun, %v, %v\n%s", m.all, &r.all, err, said)
	}
}

// A move that is planned is of the placement that was looked at, and none that came later; one that was begun is gone on with
// whatever became of it.
func TestRebalance_Plan_NamesEpochs(t *testing.T) {
	id, other := placement.Identity{Kind: "cart", Key: "1"}, placement.Identity{Kind: "cart", Key: "2"}
	r := &rebalance{app: &app{}}
	moves := r.sum(snapshot.Empty(), &fsm.Rebalanced{
		Begun: []snapshot.Move{{Identity: other, To: "m3"}},
		Moves: []fsm.RebalancedMove{{Identity: id, Epoch: 7, From: &placement.Member{ID: "m1"}, To: &placement.Member{ID: "m2"}}},
	})
	if len(moves) != 2 || r.all.Planned != 2 || r.all.Begun != 1 {
		t.Fatalf("%d moves, %v", len(moves), &r.all)
	}
	if m := moves[0]; m.request.Identity != other || m.request.To != "m3" || m.request.Epoch != 0 || m.line.Reason != "begun" {
		t.Errorf("first what was begun: %+v", m)
	}
	if m := moves[1]; m.request.Identity != id || m.request.To != "m2" || m.request.Epoch != 7 || m.line.From != "m1" || m.line.Outcome != apiv1.RebalanceMove_PLANNED {
		t.Errorf("%+v", m)
	}
}
