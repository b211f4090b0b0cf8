package api

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/snapshot"
)

// A retry that is held back is told to who wants it of that identity, or of the member on which it crashed last, and to nobody
// else; its block is of no member.
func TestWatcher_RetryThrottled_IsToldToWhoWantsIt(t *testing.T) {
	id := placement.Identity{Kind: "cart", Key: "eu/1"}
	block := &fsm.BlockChange{Crashes: 4, Block: snapshot.Block{
		Subject: snapshot.Subject{Identity: id}, By: fsm.BlockedByCrashes, Reason: "crash 4 in a row on m: crashed: bang", Since: 1_000_000, Until: 1_002_000,
	}}
	e := &events.Event{Index: 7, Time: 1_000_000, Type: events.BlockAdded, Cause: fsm.CauseRelease, Detail: &events.Detail{Block: block}}
	throttled := *e
	throttled.Type, throttled.Identity, throttled.Member, throttled.Incarnation, throttled.Epoch = events.RetryThrottled, id, "m", 3, 9
	throttled.Failure = placement.Failure{Code: placement.FailureCrash, Text: "bang"}
	at := func(ms int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(ms)) }
	want := &apiv1.Event{
		Index: 7, Time: at(1_000_000), Type: apiv1.Event_RETRY_THROTTLED, Kind: "cart", Key: "eu/1", Member: "m", Incarnation: 3, Epoch: 9, Cause: "release",
		Reason: "crash 4 in a row on m: crashed: bang", Failure: "crashed: bang", Crashes: 4, Until: at(1_002_000),
	}
	for _, tt := range []struct {
		req  *apiv1.WatchRequest
		want string
	}{
		{&apiv1.WatchRequest{}, "BLOCK_ADDED RETRY_THROTTLED "},
		{&apiv1.WatchRequest{Kind: "cart", Prefix: "eu/"}, "BLOCK_ADDED RETRY_THROTTLED "},
		{&apiv1.WatchRequest{Member: "m"}, "RETRY_THROTTLED "},
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_RETRY_THROTTLED}}, "RETRY_THROTTLED "},
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_BLOCK_ADDED, apiv1.Event_BLOCK_REMOVED}}, "BLOCK_ADDED "},
		{&apiv1.WatchRequest{Member: "n"}, ""},
		{&apiv1.WatchRequest{Prefix: "us/"}, ""},
	} {
		filter, err := watchFilterOf(tt.req)
		if err != nil {
			t.Fatal(err)
		}
		w := &watcher{server: New(nil, nil), filter: filter, ring: &events.Ring{}}
		for i, e := range []*events.Event{e, &throttled} {
			if err := w.tell(events.Reading(i), e); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Codec().Marshal(encoded(appendPartial(w.out)))
		if err != nil {
			t.Fatal(err)
		}
		said, got := &apiv1.WatchResponse{}, ""
		if err := Codec().Unmarshal(b, said); err != nil {
			t.Fatal(err)
		}
		for _, x := range said.Events {
			if got += fmt.Sprint(x.Type, " "); x.Type == want.Type && !proto.Equal(x, want) {
				t.Errorf("told is %v, want %v", x, want)
			}
		}
		if got != tt.want {
			t.Errorf("%v is told %q, want %q", tt.req, got, tt.want)
		}
	}
}

// In a snapshot the entries of the block list that crash loops made stand for what is held back, and no other entry does.
func TestStateScan_BlocksOfCrashLoops_StandForWhatIsHeldBack(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	put := func(by string, s snapshot.Subject) {
		if err := e.PutBlock(snapshot.Block{Subject: s, By: by, Since: 1, Until: 2000}); err != nil {
			t.Fatal(err)
		}
	}
	cart := func(key string) snapshot.Subject {
		return snapshot.Subject{Identity: placement.Identity{Kind: "cart", Key: key}}
	}
	put(fsm.BlockedByCrashes, cart("eu/1"))
	put(fsm.BlockedByCrashes, cart("us/1"))
	put(fsm.BlockedByCrashes, snapshot.Subject{Member: "m"})
	put("ops", cart("eu/2"))
	v := e.Publish()
	throttled := []apiv1.Event_Type{apiv1.Event_RETRY_THROTTLED}
	for _, tt := range []struct {
		req  *apiv1.WatchRequest
		want string
	}{
		{&apiv1.WatchRequest{}, "m eu/1 eu/2 us/1 "},
		{&apiv1.WatchRequest{Types: throttled}, "eu/1 us/1 "},
		{&apiv1.WatchRequest{Types: throttled, Kind: "cart", Prefix: "eu/"}, "eu/1 "},
		{&apiv1.WatchRequest{Types: throttled, Kind: "room"}, ""},
		{&apiv1.WatchRequest{Types: throttled, Member: "m"}, ""}, // on whom it crashed is not in the list
		{&apiv1.WatchRequest{Types: []apiv1.Event_Type{apiv1.Event_PLACED}}, ""},
	} {
		filter, err := watchFilterOf(tt.req)
		if err != nil {
			t.Fatal(err)
		}
		s, got := &stateScan{filter: filter, classes: filter.classes()}, ""
		for len(s.classes) > 0 {
			for _, r := range s.page(v) {
				got += r.Block.GetMember() + r.Block.GetKey() + " "
			}
		}
		if got != tt.want {
			t.Errorf("%v is given %q, want %q", tt.req, got, tt.want)
		}
	}
}
