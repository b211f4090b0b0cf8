package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
)

// What a member owned when it ended can be found, also when the entry was applied together with others that take it out of
// memory and give it to somebody else.
func TestMachine_MemberEndsAmongOthers_WhatItOwnedIsKnown(t *testing.T) {
	m := newMachine(func(err error) { t.Fatal(err) }, fsm.FeatureLevel)
	index := uint64(0)
	log := func(data []byte) *raft.Log {
		index++
		return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data}
	}
	entry := func(barrier uint64, bodies ...fsm.Body) *raft.Log {
		var commands [][]byte
		for _, b := range bodies {
			c, err := fsm.Encode(fsm.Command{Body: b})
			if err != nil {
				t.Fatal(err)
			}
			commands = append(commands, c)
		}
		return log(fsm.AppendEntry(nil, fsm.Batch{Term: 1, Barrier: barrier}, commands))
	}
	join := func(name string) *fsm.Join {
		return &fsm.Join{Member: placement.Member{ID: placement.MemberID(name), Address: "h:1", Kinds: []string{"cart"}}}
	}
	m.ApplyBatch([]*raft.Log{log(fsm.EncodeStart(fsm.Start{Server: "s1", ClusterID: "C", Seed: 1})), entry(0, join("a"))})
	a := m.view.Load().Roster.Find("a").Incarnation
	var places, again []fsm.Body
	for i := range 100 {
		id := placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}
		places, again = append(places, &fsm.Place{Identity: id}), append(again, &fsm.Place{Identity: id})
	}
	m.ApplyBatch([]*raft.Log{
		entry(0, places...), entry(0, join("b")), entry(0, &fsm.Expire{Incarnation: a}), entry(5, again...), entry(6), entry(7),
	})
	at, ok := m.events.After(4)
	var one [1]events.Event
	if n, _, read := m.events.Read(at, one[:]); !ok || !read || n != 1 || one[0].Type != events.MemberEnded || one[0].Detail.Owned != 100 {
		t.Fatalf("behind 4 comes %+v", one[0])
	}
	n := 0
	if v := m.events.View(at); v == nil || v.Index != 5 {
		t.Fatalf("the view is %v", v)
	}
	m.events.View(at).ScanEnded(a, 0, 1<<30, func(placement.Identity, placement.Entry) bool { n++; return true })
	if n != 100 {
		t.Errorf("%d are found of 100", n)
	}
	if v := m.view.Load(); v.Index != index || v.Owned(a) != 0 {
		t.Errorf("the newest view is that of %d, and a owns %d in it", v.Index, v.Owned(a))
	}
}

// A timed machine says of each entry when it was begun with and when all had it, and answers as any other.
func TestMachine_Timed_SaysWhen(t *testing.T) {
	m := newMachine(func(err error) { t.Fatal(err) }, fsm.FeatureLevel)
	m.timed = true
	var logs []*raft.Log
	for i := range uint64(3) {
		data := fsm.AppendEntry(nil, fsm.Batch{Term: 1}, nil)
		if i == 0 {
			data = fsm.EncodeStart(fsm.Start{Server: "s1", ClusterID: "C", Seed: 1})
		}
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Type: raft.LogCommand, Data: data})
	}
	logs = append(logs, &raft.Log{Index: 4, Term: 1, Type: raft.LogNoop})
	before := time.Now()
	responses := m.ApplyBatch(logs)
	at := before
	for i, r := range responses[:3] {
		out, err := outputOf(r)
		timed, ok := r.(*timedOutput)
		if err != nil || out.Index != uint64(i+1) || !ok {
			t.Fatalf("entry %d: %v, %v", i, r, err)
		}
		if timed.began.Before(at) || !timed.published.After(timed.began) || timed.published.After(time.Now()) {
			t.Errorf("entry %d: begun with %v, published %v", i, timed.began.Sub(before), timed.published.Sub(before))
		}
		at = timed.began
	}
	if responses[3] != nil {
		t.Errorf("what is no command has the response %v", responses[3])
	}
}
