package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// holder is a server that answers from a view.
type holder struct {
	follower
	view *snapshot.View
}

func (h *holder) ReadView(context.Context) (*snapshot.View, error) { return h.view, nil }

// listed is a state with so many placements: every tenth is pending, every hundredth of the kind room, and one member has
// all.
func listed(t *testing.T, n int) *snapshot.Editor {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(7, 1)
	e.SetCluster(snapshot.Cluster{ID: "c", Seed: 1})
	for _, kind := range []string{"cart", "room"} {
		if err := e.AddKind(kind); err != nil {
			t.Fatal(err)
		}
	}
	m := &placement.Member{ID: "m1", Incarnation: 1, Address: "h:1", Kinds: []string{"cart", "room"}, State: placement.MemberLive}
	m.Normalize()
	e.Join(m)
	for i := range n {
		place(e, i)
	}
	return e
}

func place(e *snapshot.Editor, i int) {
	id := placement.Identity{Kind: "cart", Key: fmt.Sprintf("k%d", i)}
	if i%100 == 0 {
		id.Kind = "room"
	}
	entry := placement.Entry{Phase: placement.Settled, Owner: 1, Epoch: placement.Epoch(i + 1)}
	if i%10 == 0 {
		entry.Phase = placement.Pending
	}
	e.Seek(id)
	e.Put(entry)
}

// all reads a list to its end.
func all(t *testing.T, s *Server, req *apiv1.ListRequest) (keys []string, pages int) {
	t.Helper()
	for {
		resp, err := s.List(t.Context(), req)
		if err != nil {
			t.Fatalf("page %d of %v: %v", pages, req, err)
		}
		if resp.Read.Index != 7 {
			t.Fatalf("page %d is as of index %d", pages, resp.Read.Index)
		}
		for _, p := range resp.Placements {
			keys = append(keys, p.Key)
		}
		pages++
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			return keys, pages
		}
	}
}

// What a call looks at is bounded, whatever is wanted: a list that finds little goes on page by page.
func TestList_FewAreWanted_EachCallIsBounded(t *testing.T) {
	e := listed(t, 2*listScanMax+listScanMax/2)
	s := New(&holder{view: e.Publish()}, nil)
	for _, tt := range []struct {
		req         *apiv1.ListRequest
		want, pages int // pages: at least
	}{
		{&apiv1.ListRequest{Member: "m2"}, 0, 3},
		{&apiv1.ListRequest{Prefix: "k12345", PageSize: 1000}, 11, 3},
		{&apiv1.ListRequest{Kind: "room", Prefix: "k2000", PageSize: 1000}, 3, 3},
		{&apiv1.ListRequest{Kind: "room", Unsettled: true, PageSize: 1000}, 2500, 3},
		{&apiv1.ListRequest{Kind: "stranger"}, 0, 1},
		{&apiv1.ListRequest{Prefix: "k24", Phase: apiv1.Placement_PENDING, PageSize: 1000}, 1111, 3},
	} {
		keys, pages := all(t, s, tt.req)
		slices.Sort(keys)
		if len(keys) != tt.want || len(slices.Compact(keys)) != tt.want || pages < tt.pages || pages > tt.pages+tt.want/1000+2 {
			t.Errorf("%v: %d placements on %d pages, want %d on %d or a few more", tt.req, len(keys), pages, tt.want, tt.pages)
		}
		for _, k := range keys {
			if !strings.HasPrefix(k, tt.req.Prefix) {
				t.Errorf("%v: %s", tt.req, k)
			}
		}
	}
}

func TestList_CountMore_SaysHowMany(t *testing.T) {
	s := New(&holder{view: listed(t, 500).Publish()}, nil)
	resp, err := s.List(t.Context(), &apiv1.ListRequest{PageSize: 20, Unsettled: true, CountMore: true})
	if err != nil || len(resp.Placements) != 20 || resp.More != 30 || resp.MoreAtLeast {
		t.Errorf("20 of 50: %d, and %d more (%v), %v", len(resp.GetPlacements()), resp.GetMore(), resp.GetMoreAtLeast(), err)
	}
	if keys, _ := all(t, s, &apiv1.ListRequest{PageSize: 20, Unsettled: true, PageToken: resp.NextPageToken}); uint64(len(keys)) != resp.More {
		t.Errorf("%d followed, counted were %d", len(keys), resp.More)
	}
	s = New(&holder{view: listed(t, 2*listScanMax).Publish()}, nil)
	resp, err = s.List(t.Context(), &apiv1.ListRequest{PageSize: 20, CountMore: true})
	if err != nil || !resp.MoreAtLeast || resp.More < listScanMax/2 || resp.More > listScanMax {
		t.Errorf("of many: %d more (%v), %v", resp.GetMore(), resp.GetMoreAtLeast(), err)
	}
}

// All pages are as of the first one's index, whatever is placed meanwhile; and when that state is gone, the error says so.
func TestList_StateMovesOn_PagesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := listed(t, 300)
		h := &holder{view: e.Publish()}
		s := New(h, nil)
		req := &apiv1.ListRequest{PageSize: 10}
		resp, err := s.List(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		first := resp.NextPageToken
		for i := range 3000 {
			place(e, 300+i)
		}
		e.SetPosition(9, 1)
		h.view = e.Publish()
		time.Sleep(pinTime - time.Second)
		keys, _ := all(t, s, &apiv1.ListRequest{PageSize: 10, PageToken: first})
		if len(keys) != 290 {
			t.Errorf("%d placements on the later pages, want 290", len(keys))
		}

		resp, err = s.List(t.Context(), req)
		if err != nil || resp.Read.Index != 9 {
			t.Fatalf("another list: %v, %v", resp.GetRead(), err)
		}
		for name, other := range map[string]*apiv1.ListRequest{
			"kind": {Kind: "cart"}, "member": {Member: "m1"}, "prefix": {Prefix: "k"}, "phase": {Phase: apiv1.Placement_SETTLED}, "unsettled": {Unsettled: true},
		} {
			other.PageToken = resp.NextPageToken
			if _, err := s.List(t.Context(), other); reasonOf(err) != apiv1.ReasonInvalidArgument {
				t.Errorf("the token with another %s: %v", name, err)
			}
		}
		for i := range pinsMax {
			time.Sleep(time.Millisecond)
			if _, err := s.List(t.Context(), &apiv1.ListRequest{PageSize: uint32(1 + i)}); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.List(t.Context(), &apiv1.ListRequest{PageToken: resp.NextPageToken})
		_, data, _ := apiv1.ReasonOf(err)
		if reasonOf(err) != apiv1.ReasonIndexCompacted || data["index"] != "9" || data["server"] != "s1" {
			t.Errorf("the oldest of too many lists: %v with %v", err, data)
		}
	})
}

func TestList_BadRequests_NameTheRule(t *testing.T) {
	s := New(&holder{view: listed(t, 10).Publish()}, nil)
	for rule, req := range map[string]*apiv1.ListRequest{
		"page size":  {PageSize: pageMax + 1},
		"phase":      {Phase: apiv1.Placement_ABSENT},
		"phase 9":    {Phase: 9},
		"prefix has": {Prefix: strings.Repeat("x", placement.KeyBytesMax+1)},
		"page token": {PageToken: "AAAA"},
	} {
		if _, err := s.List(t.Context(), req); reasonOf(err) != apiv1.ReasonInvalidArgument || !strings.Contains(err.Error(), rule) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
