package api

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
)

// noStream is a stream that nothing is sent on.
type noStream struct {
	grpc.ServerStreamingServer[apiv1.WatchResponse]
}

func (noStream) Context() context.Context { return context.Background() }

// More than there is room for are refused with a reason, and leave the room as it is.
func TestWatch_TooMany_AreRefused(t *testing.T) {
	s := New(nil, nil)
	s.watching.count.Store(watchersMax)
	if err := s.Watch(&apiv1.WatchRequest{}, noStream{}); reasonOf(err) != apiv1.ReasonOverloaded {
		t.Errorf("one more: %v", err)
	}
	if got := s.Watching(); got.Watchers != watchersMax {
		t.Errorf("then there are %d", got.Watchers)
	}
}

// Events are sent as the message says that has them, and each is encoded once for all.
func TestWires_AreTheMessage(t *testing.T) {
	w, ring := &wires{}, &events.Ring{}
	e := &events.Event{
		Index: 7, Time: 1e12, Type: events.Placed, Now: placement.Settled, Identity: placement.Identity{Kind: "cart", Key: "1"}, Member: "m", Incarnation: 3, Epoch: 9,
		Reason: placement.ReasonRendezvous,
	}
	first, second := watchTypesOf(e)
	x := w.of(ring, 5, e, [2]apiv1.Event_Type{first, second})
	if w.of(ring, 5, e, [2]apiv1.Event_Type{first, second}) != x {
		t.Error("it is encoded twice")
	}
	if w.of(&events.Ring{}, 5, e, [2]apiv1.Event_Type{first, second}) == x || w.of(ring, 5+wiresMax, e, [2]apiv1.Event_Type{first, second}) == x {
		t.Error("another event is taken for it")
	}
	mark := &apiv1.WatchMark{Index: 8, Generation: 1, ServedBy: "s1"}
	b, err := Codec().Marshal(encoded(appendMessage(appendPartial(append(append([]byte{}, x.parts[0]...), x.parts[1]...)), fieldMark, mark)))
	if err != nil {
		t.Fatal(err)
	}
	got := &apiv1.WatchResponse{}
	if err := Codec().Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	want := &apiv1.WatchResponse{
		Events:  []*apiv1.Event{watchMessage(e, apiv1.Event_PLACED), watchMessage(e, apiv1.Event_SETTLED)},
		Partial: true, Mark: mark,
	}
	if !proto.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

// A filter wants what has all that it asks for.
func TestWatchFilter_Wants(t *testing.T) {
	id := placement.Identity{Kind: "cart", Key: "eu/1"}
	for _, tt := range []struct {
		req  *apiv1.WatchRequest
		t    apiv1.Event_Type
		id   placement.Identity
		m    placement.MemberID
		want bool
	}{
		{&apiv1.WatchRequest{}, apiv1.Event_PLACED, id, "m", true},
		{&apiv1.WatchRequest{}, apiv1.Event_LEADER_CHANGED, placement.Identity{}, "", true},
		{&apiv1.WatchRequest{Kind: "cart", Prefix: "eu/", Member: "m"}, apiv1.Event_PLACED, id, "m", true},
		{&apiv1.WatchRequest{Kind: "room"}, apiv1.Event_PLACED, id, "m", false},
		{&apiv1.WatchRequest{Prefix: "us/"}, apiv1.Event_PLACED, id, "m", false},
		{&apiv1.WatchRequest{Member: "n"}, apiv1.Event_PLACED, id, "m", false},
		{&apiv1.WatchRequest{Kind: "cart"}, apiv1.Event_MEMBER_JOINED, placement.Identity{}, "m", false},
		{&apiv1.WatchRequest{Kind: "cart"}, apiv1.Event_KIND_CHANGED, placement.Identity{Kind: "cart"}, "", true},
		{&apiv1.WatchRequest{Member: "m"}, apiv1.Event_MEMBER_JOINED, placement.Identity{}, "m", true},
		{&apiv1.WatchRequest{Member: "m"}, apiv1.Event_LOCK_GRANTED, placement.Identity{}, "", false},
		{&apiv1.WatchRequest{Kind: "cart", Prefix: "eu/", Member: "m"}, apiv1.Event_RETRY_THROTTLED, id, "m", true},
		{&apiv1.WatchRequest{Kind: "room"}, apiv1.Event_RETRY_THROTTLED, id, "m", false},
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_BLOCK_ADDED}}, apiv1.Event_RETRY_THROTTLED, id, "m", false},
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_SETTLED, apiv1.Event_REMOVED}}, apiv1.Event_SETTLED, id, "m", true},
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_SETTLED, apiv1.Event_REMOVED}}, apiv1.Event_PLACED, id, "m", false},
	} {
		f, err := watchFilterOf(tt.req)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.wants(tt.t, tt.id, tt.m); got != tt.want {
			t.Errorf("%v wants %v of %v on %s: %t", tt.req, tt.t, tt.id, tt.m, got)
		}
	}
	for _, types := range [][]apiv1.Event_Type{{0}, {-1}, {8}, {eventTypeMax + 1}, {1 << 30}} {
		if _, err := watchFilterOf(&apiv1.WatchRequest{Types: types}); reasonOf(err) != apiv1.ReasonInvalidArgument {
			t.Errorf("types %v: %v", types, err)
		}
	}
	for number := range apiv1.Event_Type_name {
		if apiv1.Event_Type(number) > eventTypeMax {
			t.Error(fmt.Sprint("eventTypeMax is not the largest: ", number))
		}
	}
}

// What ended with its owner in the log entry that gave it another is told before that, to who wants it.
func TestWatcher_PlacedAgainAsItsOwnerEnds_EndIsToldFirst(t *testing.T) {
	id := placement.Identity{Kind: "cart", Key: "1"}
	e := &events.Event{
		Index: 7, Type: events.Placed, Now: placement.Pending, Identity: id, Member: "b", Incarnation: 3, Epoch: 9,
		Cut: &events.Event{Index: 7, Type: events.Removed, Was: placement.Pending, Identity: id, Member: "a", Incarnation: 2, Epoch: 8},
	}
	for _, tt := range []struct {
		req  *apiv1.WatchRequest
		want string
	}{
		{&apiv1.WatchRequest{}, "REMOVED a 8 PLACED b 9 "},
		{&apiv1.WatchRequest{Member: "a"}, "REMOVED a 8 "},
		{&apiv1.WatchRequest{Member: "b"}, "PLACED b 9 "},
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_REMOVED}}, "REMOVED a 8 "},
		{&apiv1.WatchRequest{Kind: "room"}, ""},
	} {
		filter, err := watchFilterOf(tt.req)
		if err != nil {
			t.Fatal(err)
		}
		w := &watcher{server: New(nil, nil), filter: filter, ring: &events.Ring{}}
		if err := w.tell(1, e); err != nil {
			t.Fatal(err)
		}
		b, err := Codec().Marshal(encoded(appendPartial(w.out)))
		if err != nil {
			t.Fatal(err)
		}
		said := &apiv1.WatchResponse{}
		if err := Codec().Unmarshal(b, said); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, x := range said.Events {
			got += fmt.Sprintf("%v %s %d ", x.Type, x.Member, x.Epoch)
		}
		if got != tt.want || w.count != len(said.Events) {
			t.Errorf("%v is told %q, want %q", tt.req, got, tt.want)
		}
	}
}
